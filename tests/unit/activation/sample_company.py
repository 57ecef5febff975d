"""The invented company of the sample report: its personas, and the end of the week."""

from datetime import date

AS_OF = date(2026, 11, 16)

PERSONAS = {
    "persona-01": ("Very active report readers", 3120, "Opens reports on most working days and shares them."),
    "persona-02": (
        "Automation builders",
        1480,
        "Connects other systems and calls the interface; seldom looks at a page.",
    ),
    "persona-03": (
        "Campaign bargain seekers",
        2310,
        "Comes with a campaign, orders add-ons at a discount and leaves again.",
    ),
    "persona-04": ("Quiet long-standing accounts", 4275, "Has been a customer for years and hardly signs in."),
    "persona-06": ("Newcomers who take courses", 940, "Signed up within the last quarter and watches courses."),
}
