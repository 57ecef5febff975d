{{ config(plain_texts=['contact_id', 'email']) }}
{{ contactability(var('contact_purposes') or [var('activation')]) }}
