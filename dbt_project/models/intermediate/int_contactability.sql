{{ contactability(var('contact_purposes') or [var('activation')]) }}
