"""The customers: first those that the company's documents speak of, then others of the same trades."""

import random

from infra.crm.seed.names import CITIES
from infra.crm.seed.records import Company

NAMED = (
    Company("C000", "Ardent Cold Storage", "ardentcold.example", "cold storage", "GB", "Goole"),
    Company("C001", "Basalt Data Centres", "basalt-dc.example", "data centres", "DE", "Frankfurt"),
    Company("C002", "Northgate Pharma Logistics", "northgatepharma.example", "pharma logistics", "GB", "Leeds"),
    Company("C003", "Marlow Dairies", "marlowdairies.example", "dairy", "GB", "Hull"),
    Company("C004", "Quillon Vineyards", "quillon.example", "wine", "FR", "Bordeaux"),
)
TRADES = {
    "cold storage": ("Cold Storage", "Coldstores", "Frozen Logistics"),
    "dairy": ("Dairy", "Creameries", "Cheese Company"),
    "bakery": ("Bakeries", "Patisserie"),
    "pharma": ("Pharmacy Group", "Biologics", "Clinical Supply"),
    "hospital": ("Hospital Trust", "Clinic"),
    "wine": ("Vineyards", "Cellars"),
    "museum": ("Museum", "Archive"),
    "data centres": ("Data Centres", "Hosting"),
    "food": ("Foods", "Seafood", "Brewery"),
    "water": ("Pumping Stations", "Water Works"),
}
STEMS = (
    "Aldgarth Birchover Calderbrook Dunmore Eskdale Farrowby Glenmorven Hollinbank Ivybridge Juniper Kestrel Larkrise "
    "Millgate Nettlecombe Oakhanger Pinehurst Quarrendon Ravensworth Silverdale Thornfield Underwood Valley Westerdale "
    "Yarrow Zennor Amberley Brackenhill Copperfield Daventree Elmstead Foxglove Greycote Heronsgate Ironwood"
).split()
COUNTRIES = ("GB",) * 11 + ("DE",) * 2 + ("FR",) * 2 + ("CA",) * 2 + ("NL", "IE")
TOTAL = 140
RENAMED_SHARE = 0.06


def make_companies(random_: random.Random) -> tuple[Company, ...]:
    """All companies; no two share a name or a domain."""
    companies, taken = list(NAMED), {company.name for company in NAMED}
    while len(companies) < TOTAL:
        industry = random_.choice(list(TRADES))
        name = f"{random_.choice(STEMS)} {random_.choice(TRADES[industry])}"
        if name in taken:
            continue
        taken.add(name)
        country = random_.choice(COUNTRIES)
        former = f"{random_.choice(STEMS)} & Sons" if random_.random() < RENAMED_SHARE else None
        domain = name.lower().replace(" ", "") + ".example"
        city = random_.choice(CITIES[country])
        companies.append(Company(f"C{len(companies):03d}", name, domain, industry, country, city, former))
    return tuple(companies)
