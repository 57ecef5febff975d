"""Names that no published column may have: traits of a person (personality, susceptibility) are never inferred."""

import re

TRAIT = re.compile(
    r"openness|conscientious|extra[vo]er|introver|agreeabl|neurotic|emotional_stability|ocean(_|$)|big_?(5|five)|"
    r"personalit|temperament|character_trait|trait|mbti|myers|briggs|enneagram|hexaco|disc_(type|profile)|psychograph|"
    r"narciss|machiavell|psychopath|need_for_|regulatory_focus|self_monitoring|risk_avers|impulsiv|gullib|suscept|"
    r"persuadab|vulnerab|weakness|intelligence|iq(_|$)|mood|anxi|self_esteem"
)
