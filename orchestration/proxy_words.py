"""Words that stand for a special category of personal data where a group of people is called by them.

What belongs here: the lists, in English, German, French, Spanish, Italian and Dutch, the languages of phrases.
Inferred categories count as special ones (CJEU C-184/20), so what is bought, worn, visited, celebrated or joined may
tell as much as the plain word. The rules that read the lists stand in `special_categories.py`, with the plain words.
"""

# As in `special_categories.SCREEN`: beginnings of words, "=" before a whole word, "_" between words; no accents.
PROXIES: dict[str, str] = {
    "health": (
        "insulin wheelchair walking_aid hearing_aid hearing_impair visually_impair dialys chemo oncolog cardiolog "
        "dermatolog psychiat psychother incontinen contracept =ivf menopaus obes overweight =disabled =deaf "
        "alzheim parkinson dement =autis autism autist adhd asthma epilep hypertens arthrit rheuma migraine "
        "alcoholic smoker =rehab maternity expectant_mother expectant_parent expecting_mother expecting_parent "
        "mum_to_be mums_to_be mom_to_be moms_to_be mother_to_be mothers_to_be baby_bump prenatal =grief grieving "
        "bereave widow antidepress burnout =sick hospice rollstuhl rollator horgerat sehbehind bluthochdruck "
        "zuckerkrank diabetik allergik schwanger werdende_mutter werdende_eltern wochenbett medikament "
        "pflegebedurf ubergewicht raucher alkohol trauernd witwe verhutung =reha =drogen fauteuil_roulant surdit "
        "=sourds aveugles cancer medicament pharmaci future_maman futures_mamans fumeur =deuil =veuf =veuve "
        "alcoolique silla_de_ruedas diabetic medicamento =obesos pacientes fumador alcoholico =viuda "
        "sedia_a_rotelle farmaci =incinta =incinte pazient fumator =vedova rolstoel medicijn suikerziek apotheek "
        "roker weduwe"
    ),
    "religion": (
        "ramadan =eid =hajj umrah quran koran torah talmud bible bibel biblia bibbia bijbel sabbath shabbat kippa "
        "hijab kopftuch foulard_islamique baptis =taufe tauflinge kommunion konfirmand bar_mitzvah bat_mitzvah "
        "pilgrim pilger pelerin peregrino pellegrin devout =pious believers =glaubige =glaubigen =fromme croyants "
        "creyentes credenti gelovigen churchgoer kirchg kirchensteuer gebet =priere oracion preghiera gebed "
        "christen chretien cristian =juden judisch =juif =juifs =juive judio =ebrei ebraic =joden joods moslem "
        "musulman moskee parish pfarr paroisse parroquia parrocchia =imam =rabbi rabbin priest pastor =sikh =sikhs "
        "mormon jehova yom_kippur hanukkah chanukka =pesach passover freikirch =amish orthodox_christ evangelical"
    ),
    "politics": (
        "left_wing right_wing leftist rightist far_right far_left =tory =tories labour_party labour_voter "
        "democrats republicans conservatives =liberals green_voter communis kommunis sozialis marxis fascis "
        "anarchis feminist activist aktivist attivist militant =maga brexit =wahler =wahlerin =wahlern "
        "wechselwahler stammwahler =linke =linken =rechte =cdu =csu =spd =fdp =afd =npd sozialdemokrat "
        "rechtsradikal linksradikal querdenk gauchiste electeur votant =izquierda =izquierdistas =derechistas "
        "=elettori elettor =sinistra =kiezers kiezer linkse rechtse"
    ),
    "ethnicity": (
        "immigrant migrant refugee asylum =blacks black_people black_customer black_shopper white_people asians "
        "=arab arabs africans caucasian latinos latinas =turks =sinti gypsy native_american indigenous aborigin "
        "people_of_col person_of_col =bipoc =bame fluchtling auslander einwanderer zuwanderer =turken =araber "
        "afrikaner schwarze zigeuner spataussiedler refugie =immigre immigres =arabes gitan inmigrant refugiad "
        "=negros immigrat rifugiat zingar vluchteling allochto marokkan"
    ),
    "sexual_life": (
        "=queer queers =pride_month pride_parade =gays =trans transsex =fetish erotic erotik swinger =kink schwul "
        "lesbisch lesben =homo =homos omosessual lesbich sex_toy sexspielzeug condom kondom preservati viagra"
    ),
    "union_membership": (
        "unionist union_worker unionized unionised works_council shop_steward betriebsrat ig_metall ver_di "
        "syndique sindicalis sindicalizad sindacalist =cgil =cgt =ugt =fnv vakbond"
    ),
    "genetics": "hereditary erbkrank ancestry_test =brca =adn hereditair ereditar erfelijk",
    "biometrics": (
        "gesichtserkennung face_recogni facial_recogni reconnaissance_faciale riconoscimento_facc gezichtsherken"
    ),
}
HARMLESS = ("black_friday", "black_week")
"""Words that only look like some of these."""
