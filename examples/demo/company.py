"""What Havelgrid is: its personas and how each of them behaves, as plain tables.

What belongs here: numbers and names, nothing that draws. Every table has one column per persona, in the order of
`PERSONAS`. Havelgrid, an invented company in Berlin, sells a web product for business metrics to other companies.
"""

import numpy as np

COMPANY = "Havelgrid"
CURRENCY = "EUR"

PERSONAS = ("automation_builder", "executive_reader", "bargain_seeker", "learner", "drifting_away")
BUILDER, READER, BARGAIN, LEARNER, DRIFTING = range(5)

# Shares among people who are customers when history begins, and among those who sign up in its first and last week:
# the planted drift brings ever more bargain seekers in.
SHARE_AT_START = (0.19, 0.24, 0.19, 0.18, 0.20)
SHARE_OF_FIRST_ARRIVALS = (0.18, 0.22, 0.16, 0.40, 0.04)
SHARE_OF_LAST_ARRIVALS = (0.16, 0.18, 0.28, 0.34, 0.04)

CHANGES_PER_WEEK = 0.008
# Who becomes what, given that somebody changes (from row to column): learners graduate, anybody may drift away.
CHANGES = (
    (0.00, 0.35, 0.15, 0.05, 0.45),
    (0.25, 0.00, 0.25, 0.05, 0.45),
    (0.20, 0.25, 0.00, 0.10, 0.45),
    (0.40, 0.25, 0.15, 0.00, 0.20),
    (0.20, 0.30, 0.30, 0.20, 0.00),
)

# Sessions a week at activity 1; `events_per_person` scales them all.
PRODUCT_SESSIONS = np.array([1.65, 1.40, 0.75, 1.35, 0.08])
WEB_SESSIONS = np.array([0.25, 0.15, 0.95, 0.30, 0.05])
EVENTS_PER_SESSION = 2.0
SHARE_LOGGED_IN_ON_WEB = 0.6
# Activity differs between people (log-normal), and each person's mood wanders from week to week (autoregressive).
ACTIVITY_SPREAD = 0.25
MOOD_MEMORY = 0.85
MOOD_SPREAD = 0.25
# Whoever is new tries things out: the factor on activity in the first weeks after joining.
ONBOARDING_WEEKS = 3
ONBOARDING_FACTOR = 2.5
# Weekly factor of the activity that one's recent behaviour keeps in mind: half is forgotten in about 2.4 weeks.
MEMORY_OF_BEHAVIOUR = 0.75

# name: (category in the product's own words, weights per persona)
PRODUCT_EVENTS: dict[str, tuple[str, tuple[float, ...]]] = {
    "logged_in": ("session", (0.00, 0.00, 0.00, 0.00, 0.00)),  # drawn as the first event of a session
    "dashboard_viewed": ("usage", (0.80, 6.50, 0.60, 0.70, 2.50)),
    "report_exported": ("usage", (0.30, 3.50, 0.15, 0.15, 0.40)),
    "report_scheduled": ("usage", (0.15, 1.20, 0.05, 0.05, 0.05)),
    "api_called": ("usage", (5.50, 0.02, 0.02, 0.05, 0.03)),
    "integration_connected": ("usage", (2.20, 0.02, 0.05, 0.06, 0.03)),
    "automation_run": ("usage", (3.00, 0.04, 0.03, 0.06, 0.03)),
    "alert_created": ("usage", (1.00, 0.50, 0.10, 0.20, 0.10)),
    "teammate_invited": ("usage", (0.30, 0.30, 0.60, 0.40, 0.10)),
    "support_searched": ("search", (0.25, 0.06, 0.10, 2.60, 0.30)),
    "course_watched": ("usage", (0.05, 0.03, 0.05, 4.20, 0.05)),
    "template_used": ("usage", (0.15, 0.08, 0.15, 3.00, 0.05)),
    "addon_browsed": ("usage", (0.06, 0.06, 7.00, 0.10, 0.15)),
    "data_downloaded": ("usage", (0.20, 0.20, 0.10, 0.10, 1.50)),
    "assistant_asked": ("usage", (0.80, 0.60, 0.30, 1.00, 0.10)),
}
# The assistant is new: its use grows from nothing to the weight above over this many weeks. This is planted drift too.
WEEKS_UNTIL_ASSISTANT_IS_KNOWN = 26
SHARE_OF_SESSIONS_WITH_LOGIN = 0.3

# name: (kind in the tracker's own words, path of the page, title, weights per persona)
WEB_EVENTS: dict[str, tuple[str, str, str, tuple[float, ...]]] = {
    "home_viewed": ("pageview", "/", "Havelgrid", (1.00, 1.50, 0.80, 1.00, 2.00)),
    "pricing_viewed": ("pageview", "/pricing", "Pricing", (0.12, 0.12, 5.00, 0.20, 0.60)),
    "addons_viewed": ("pageview", "/add-ons", "Add-ons", (0.15, 0.15, 3.00, 0.25, 0.20)),
    "docs_viewed": ("pageview", "/docs", "Documentation", (6.00, 0.20, 0.20, 1.50, 0.40)),
    "academy_viewed": ("pageview", "/academy", "Academy", (0.30, 0.10, 0.10, 4.00, 0.10)),
    "blog_viewed": ("pageview", "/blog", "Blog", (0.80, 2.50, 0.40, 1.20, 0.60)),
    "cancellation_help_viewed": ("pageview", "/help/cancel", "Cancel", (0.02, 0.02, 0.05, 0.02, 1.00)),
    "help_searched": ("site_search", "/help/search", "Help", (0.50, 0.10, 0.10, 1.00, 0.30)),
    "whitepaper_downloaded": ("file", "/files/whitepaper", "White paper", (0.20, 1.00, 0.10, 0.50, 0.05)),
    "price_list_downloaded": ("file", "/files/price-list", "Price list", (0.00, 0.10, 0.60, 0.00, 0.10)),
    "webinar_registered": ("form", "/webinars", "Webinars", (0.20, 0.20, 0.10, 0.50, 0.02)),
    "contact_requested": ("form", "/contact", "Contact", (0.05, 0.10, 0.20, 0.05, 0.10)),
}
# What people look at before they sign up, and visitors who never do.
ANONYMOUS_WEB_MIX = (3.0, 1.5, 0.3, 0.8, 0.3, 2.0, 0.0, 0.2, 0.4, 0.2, 0.3, 0.2)

# How a visit began: name -> (referrer, utm_source, utm_medium, campaign prefix, weights per persona)
CHANNELS: dict[str, tuple[str | None, str | None, str | None, str | None, tuple[float, ...]]] = {
    "direct": (None, None, None, None, (0.45, 0.50, 0.25, 0.35, 0.55)),
    "search": ("https://search.example/", None, None, None, (0.38, 0.15, 0.15, 0.35, 0.25)),
    "paid": ("https://search.example/", "search", "cpc", "brand", (0.03, 0.05, 0.15, 0.08, 0.05)),
    "newsletter": (None, "newsletter", "email", "newsletter", (0.05, 0.18, 0.33, 0.10, 0.05)),
    "social": ("https://social.example/", "social", "organic", None, (0.05, 0.10, 0.07, 0.08, 0.05)),
    "partner": ("https://partner.example/", "partner", "referral", "partners", (0.04, 0.02, 0.05, 0.04, 0.05)),
}
SEARCH_WORDS = (
    ("metrics api pagination", "webhook retry", "havelgrid terraform", "alerting api"),
    ("kpi dashboard template", "board report example", "havelgrid pdf report", "north star metric"),
    ("havelgrid discount", "havelgrid pricing", "cheap analytics add-on", "analytics tool comparison"),
    ("what is a funnel", "havelgrid tutorial", "dashboard for beginners", "cohort analysis explained"),
    ("havelgrid login", "export all data", "cancel havelgrid", "havelgrid alternative"),
)

# When sessions start. Hours 0 to 23; nobody starts anything between 2 and 3, the hour clock changes take or repeat.
HOURS = (
    (2, 2, 0, 2, 2, 2, 3, 5, 8, 10, 10, 9, 7, 9, 10, 10, 9, 7, 5, 4, 5, 5, 4, 3),
    (0, 0, 0, 0, 0, 1, 4, 9, 12, 9, 6, 5, 4, 5, 5, 5, 6, 7, 5, 3, 2, 2, 1, 0),
    (1, 0, 0, 0, 0, 0, 1, 2, 4, 5, 6, 8, 9, 7, 6, 5, 5, 6, 7, 8, 8, 7, 4, 2),
    (0, 0, 0, 0, 0, 0, 1, 3, 8, 11, 11, 9, 6, 9, 11, 10, 8, 5, 3, 4, 5, 4, 2, 1),
    (1, 0, 0, 0, 0, 0, 2, 4, 7, 8, 8, 8, 7, 8, 8, 8, 7, 6, 5, 4, 4, 3, 2, 1),
)
WEEKDAYS = (
    (17, 18, 18, 18, 16, 6, 7),
    (28, 18, 17, 16, 15, 2, 4),
    (16, 20, 18, 16, 14, 8, 8),
    (20, 21, 21, 19, 15, 2, 2),
    (19, 19, 19, 18, 17, 4, 4),
)

# The chance of an order in a week, as a logit: a base per persona, and what recent behaviour adds to it.
ORDER_BASE = np.array([-5.10, -4.95, -4.80, -5.20, -6.00])
ORDER_TREND_PER_YEAR = 0.4
ORDER_WEIGHTS = {"usage": 0.10, "building": 0.70, "interest": 0.80, "clicks": 1.10}
DAYS_AHEAD = 30
ITEMS = ("extra seats", "automation pack", "data retention", "training day", "white label", "renewal")
ITEM_PRICES_CENTS = np.array([4_900, 9_900, 5_900, 45_000, 14_900, 118_800])
ITEM_WEIGHTS = (
    (25, 45, 15, 3, 2, 10),
    (25, 5, 15, 5, 15, 35),
    (40, 20, 20, 2, 8, 10),
    (30, 10, 8, 37, 2, 13),
    (10, 5, 15, 2, 3, 65),
)
SALES_CHANNELS = ("in_app", "web_shop", "sales")
SALES_CHANNEL_WEIGHTS = ((70, 20, 10), (20, 20, 60), (25, 70, 5), (50, 35, 15), (20, 20, 60))

# Campaigns take turns, one a week: (name, offer, open rates, click rates given an open).
CAMPAIGNS: tuple[tuple[str, str, tuple[float, ...], tuple[float, ...]], ...] = (
    ("digest", "none", (0.22, 0.60, 0.35, 0.42, 0.08), (0.08, 0.16, 0.12, 0.14, 0.02)),
    ("add_on_week", "20_percent_off", (0.20, 0.28, 0.72, 0.26, 0.12), (0.10, 0.05, 0.48, 0.08, 0.05)),
    ("academy", "free_course", (0.25, 0.18, 0.30, 0.70, 0.09), (0.10, 0.04, 0.08, 0.45, 0.03)),
    ("what_is_new", "beta_access", (0.62, 0.35, 0.30, 0.40, 0.10), (0.36, 0.08, 0.10, 0.14, 0.03)),
)
SHARE_REACHED_PER_CAMPAIGN = 0.35
# Most mails go out on Tuesday at ten; the others at one of these hours on any day, drawn by chance, to learn what
# suits whom.
SHARE_SENT_AT_LAUNCH = 0.3
TRIAL_HOURS = (8, 12, 16, 20)
# The kind of day (0 Monday to Thursday, 1 Friday, 2 weekend) and hour at which each persona opens most, and how much
# more often than at the others; whoever drifts away opens as little at any time.
FAVOURITE_TIMES = ((0, 20), (0, 8), (2, 12), (0, 16), (0, 12))
FAVOURITE_TIME_FACTOR = np.array([1.7, 1.45, 1.35, 1.4, 1.0])
# How much more often than in the other variant each persona clicks in the long text (below 1: in the short one).
LONG_TEXT_FACTOR = np.array([2.0, 0.6, 0.5, 1.7, 1.0])
# The angle each mail is written from, drawn by chance, and the one that each persona clicks more than the others (-1:
# none; whoever drifts away clicks as little on any), and how much more often than on average.
ANGLES = ("free_extra", "next_step", "customer_story", "expert_view", "personal_note", "last_seats", "our_community")
FAVOURITE_ANGLES = np.array([3, 2, 5, 1, -1])
FAVOURITE_ANGLE_FACTOR = 2.2
# Every campaign is kept from some by chance, to see what it brings.
SHARE_WITHHELD = 0.15
UNSUBSCRIBE_RATES = np.array([0.003, 0.002, 0.002, 0.002, 0.020])

TICKETS_PER_WEEK = np.array([0.014, 0.004, 0.006, 0.022, 0.012])
TICKET_CATEGORIES = ("how_to", "bug", "billing", "integration", "cancellation")
TICKET_WEIGHTS = (
    (10, 35, 5, 48, 2),
    (40, 25, 30, 3, 2),
    (20, 8, 65, 2, 5),
    (75, 10, 5, 8, 2),
    (10, 20, 25, 3, 42),
)

SURVEYED_PER_WEEK = 0.012
# The mean answers (1 to 5) to five questions, and to "would you recommend us" (0 to 10), per persona.
SURVEY_QUESTIONS: dict[str, tuple[float, ...]] = {
    "easy_to_use": (3.9, 4.1, 3.7, 3.0, 2.4),
    "saves_me_time": (4.6, 4.0, 3.3, 3.4, 2.1),
    "price_is_fair": (3.8, 3.9, 2.4, 3.5, 2.5),
    "i_know_what_it_can_do": (4.7, 3.4, 3.2, 2.2, 2.5),
    "support_helps": (3.6, 3.8, 3.4, 4.5, 2.6),
    "nps": (8.8, 8.0, 6.6, 7.9, 3.6),
}

DEPARTMENTS = ("Engineering", "Data", "Management", "Finance", "Marketing", "Operations", "Purchasing", "Support")
DEPARTMENT_WEIGHTS = (
    (40, 32, 3, 3, 5, 12, 1, 4),
    (3, 8, 40, 24, 10, 9, 2, 4),
    (4, 5, 12, 16, 20, 12, 28, 3),
    (8, 16, 4, 9, 30, 14, 3, 16),
    (12, 10, 14, 14, 18, 16, 6, 10),
)
SENIORITIES = ("Junior", "Professional", "Lead", "Executive")
SENIORITY_WEIGHTS = ((12, 55, 28, 5), (2, 14, 34, 50), (10, 50, 28, 12), (45, 42, 10, 3), (20, 45, 22, 13))
LEAD_SOURCES = ("Website", "Webinar", "Referral", "Trade fair", "Outbound", "Partner")
LEAD_SOURCE_WEIGHTS = (
    (45, 10, 22, 5, 8, 10),
    (15, 10, 28, 15, 24, 8),
    (48, 8, 8, 8, 8, 20),
    (38, 34, 12, 5, 5, 6),
    (26, 12, 10, 16, 28, 8),
)

# What is new in the product: the event of using it, and the week of history on whose second day it comes.
RELEASES: dict[str, int] = {
    "board_shared": 1,
    "forecast_made": 4,
    "notebook_opened": 7,
    "mobile_app_paired": 10,
    "annotation_written": 13,
    "goal_set": 16,
    "what_if_run": 19,
    "digest_connected": 22,
}
RELEASE_DAY = 1
# How often somebody of average innovativeness tries something new in a session, and what innovativeness does to it
# (logarithm of the factor per standard deviation).
TRIES_PER_SESSION = 0.10
INNOVATIVENESS_EFFECT = 1.2
SHARE_OF_INFLUENCERS = 0.02
# How often a session ends with passing something on, or with writing about it: usually, and of influencers.
INFLUENCE = {"tip_shared": (0.01, 0.5), "review_written": (0.004, 0.15)}
