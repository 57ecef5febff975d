"""Invented names: of people, companies, industries and jobs.

What belongs here: words only. First names carry the salutation a CRM would keep with them.
"""

FIRST_NAMES = (
    *(("Anna", "Ms"), ("Ben", "Mr"), ("Clara", "Ms"), ("David", "Mr"), ("Elif", "Ms"), ("Felix", "Mr")),
    *(("Greta", "Ms"), ("Hugo", "Mr"), ("Ines", "Ms"), ("Jonas", "Mr"), ("Katja", "Ms"), ("Lukas", "Mr")),
    *(("Mila", "Ms"), ("Noah", "Mr"), ("Olga", "Ms"), ("Paul", "Mr"), ("Ronja", "Ms"), ("Samir", "Mr")),
    *(("Tessa", "Ms"), ("Umut", "Mr"), ("Vera", "Ms"), ("Willem", "Mr"), ("Yara", "Ms"), ("Zoltan", "Mr")),
    *(("Amelie", "Ms"), ("Bastian", "Mr"), ("Chloe", "Ms"), ("Daan", "Mr"), ("Emma", "Ms"), ("Fabian", "Mr")),
    *(("Hanna", "Ms"), ("Ian", "Mr"), ("Julia", "Ms"), ("Kacper", "Mr"), ("Lea", "Ms"), ("Marek", "Mr")),
    *(("Nina", "Ms"), ("Oskar", "Mr"), ("Pia", "Ms"), ("Rafael", "Mr"), ("Sofia", "Ms"), ("Tom", "Mr")),
    *(("Ursula", "Ms"), ("Victor", "Mr"), ("Wiktoria", "Ms"), ("Yannick", "Mr"), ("Zoe", "Ms"), ("Leon", "Mr")),
)

FAMILY_NAMES = (
    *("Albers", "Bauer", "Claasen", "Dietrich", "Ebner", "Fischer", "Graf", "Huber", "Illner", "Jansen"),
    *("Keller", "Lorenz", "Möller", "Neumann", "Oswald", "Peters", "Quast", "Richter", "Schäfer", "Thoma"),
    *("Ulrich", "Vogt", "Wagner", "Zimmer", "Bakker", "Visser", "Mulder", "Moreau", "Lefort", "Girard"),
    *("Harris", "Walker", "Bennett", "Cooper", "Nowak", "Zielinski", "Wójcik", "Miller", "Turner", "Baker"),
    *("Großmann", "Böhm", "Kaya", "Yilmaz", "Rossi", "Conti", "Silva", "Novak", "Horvat", "Lindgren"),
)

STEMS = (
    *("Alvenra", "Brixolt", "Cendara", "Dornfeld", "Elbwerk", "Fennora", "Glimmholz", "Hanserow", "Isarion", "Jaspera"),
    *("Kaltbrunn", "Lumevia", "Marlotex", "Nordhain", "Oderlux", "Pellworth", "Quantaro", "Rheinova", "Sprevia"),
    *("Talbruck", "Umbrano", "Veldora", "Wesernic", "Xantaro", "Ysselin", "Zephyrin", "Ostrela", "Brandolin"),
)
SUFFIXES = ("GmbH", "AG", "Group", "Logistics", "Retail", "Foods", "Health", "Energy", "Studio", "Systems")
INDUSTRIES = ("Software", "Retail", "Manufacturing", "Logistics", "Health", "Finance", "Media", "Energy", "Education")

# One title per department (in the order of `company.DEPARTMENTS`) and seniority (of `company.SENIORITIES`).
JOB_TITLES = (
    *("Junior Developer", "Software Engineer", "Lead Engineer", "CTO"),
    *("Junior Analyst", "Data Analyst", "Head of Analytics", "Chief Data Officer"),
    *("Assistant to the Board", "Business Manager", "General Manager", "CEO"),
    *("Junior Controller", "Controller", "Head of Controlling", "CFO"),
    *("Marketing Assistant", "Marketing Manager", "Head of Marketing", "CMO"),
    *("Operations Assistant", "Operations Manager", "Head of Operations", "COO"),
    *("Junior Buyer", "Buyer", "Head of Purchasing", "Chief Procurement Officer"),
    *("Support Agent", "Support Specialist", "Support Lead", "VP Customer Success"),
)
