"""The catalogue: the price list of 2026 as it stands in the documents, and the parts and services around it."""

from decimal import Decimal
from typing import Any

from infra.crm.seed.records import Product

# sku, name, family, GBP, EUR, CAD, delivery
LISTED = """
TL1-868|TL-100 logger, 868 MHz|TL-100|84|98|149|1 week
TL2-868-N|TL-200 logger, 868 MHz, without probe|TL-200|142|166|249|1 week
TL2-868-T4|TL-200 logger, 868 MHz, probe TP-4, 2 m|TL-200|189|221|335|1 week
TL2-868-T4L|TL-200 logger, 868 MHz, probe TP-4, 8 m|TL-200|214|250|379|3 weeks
TL2-915-N|TL-200 logger, 915 MHz, without probe|TL-200|142|166|249|2 weeks
TL2-915-T4|TL-200 logger, 915 MHz, probe TP-4, 2 m|TL-200|189|221|335|2 weeks
HL1-868|HL-150 logger, 868 MHz, with cap and bracket|HL-150|176|206|312|2 weeks
HL1-915|HL-150 logger, 915 MHz, with cap and bracket|HL-150|176|206|312|3 weeks
VX3-868|VX-300 vibration sensor, 868 MHz, stud|VX-300|645|755|1140|20 to 26 weeks
VX3-915|VX-300 vibration sensor, 915 MHz, stud|VX-300|645|755|1140|on request
GW20-868-C|GW-20 gateway, 868 MHz, revision C|GW-20|465|545|820|1 week
GW20-915-C|GW-20 gateway, 915 MHz, revision C|GW-20|465|545|820|2 weeks
TP-4|Probe, 4 mm, stainless steel, 2 m|Parts|46.0|54.0|82.0|1 week
TP-6|Food core probe, 6 mm, pointed|Parts|58.0|68.0|103.0|1 week
FC-1|Filter cap for HL-150, pack of 5|Parts|21.0|24.5|37.0|1 week
SH-1|Service hood for HL-150, red|Parts|12.5|14.6|22.0|1 week
MF-1|Magnet foot for VX-300|Parts|34.0|40.0|60.0|1 week
WB-1|Wall bracket, steel, lockable|Parts|9.5|11.1|16.8|1 week
SC-2|Service cable, USB|Parts|24.0|28.0|42.5|1 week
BAT-36|Battery, pack of 10|Parts|62.0|72.5|110.0|1 week
BAT-36C|Battery size C, pack of 4|Parts|41.0|48.0|73.0|1 week
PS-24|Power supply 24 V for GW-20|Parts|27.0|31.5|48.0|1 week
AN-20|Aerial for GW-20, 5 m cable|Parts|38.0|44.5|67.0|1 week
CALB-1|Cal Basic, one logger, 12 months|Calibration|38|44.5|67|10 working days
CALP-1|Cal Plus, one logger, 12 months|Calibration|69|80.5|122|5 working days
CAL-S|Single calibration, temperature, three points|Calibration|49|57.0|87|10 working days
CAL-H|Single calibration, humidity, three points|Calibration|64|75.0|113|10 working days
CAL-V|Single calibration, VX-300, three frequencies|Calibration|88|103.0|156|10 working days
CAL-F|Field calibration, day rate with van|Calibration|790|920.0|1400|by appointment
VAL-1|Validation package, one site|Calibration|1450|1690.0|2560|by appointment
CL-STD|Cloud Standard, logger and month|Fernhill Cloud|13.2|15.40|23.4|at once
CL-PH|Cloud Pharma, logger and month|Fernhill Cloud|19.8|23.10|35.0|at once
CL-VX|Cloud for VX-300, sensor and month|Fernhill Cloud|16.5|19.25|29.2|at once
CL-GW|Fernhill Cloud, gateway|Fernhill Cloud|0.0|0.00|0.0|at once
"""
# Families of parts whose members differ in one measure: sku, name, variants, GBP of the first and of each further one.
SERIES: tuple[tuple[str, str, tuple[str, ...], str, str], ...] = (
    ("TP-4-{}M", "Probe, 4 mm, stainless steel, {} m", ("1", "3", "5", "8", "12", "20"), "42", "6"),
    ("TP-6-{}M", "Food core probe, 6 mm, pointed, {} m", ("1", "3", "5"), "54", "7"),
    ("TP-A-{}M", "Air probe with guard, {} m", ("1", "2", "5", "8"), "39", "5"),
    ("TP-C-{}M", "Clamp probe for pipes, {} m", ("2", "5", "8"), "64", "6"),
    ("TP-X-{}M", "Probe extension cable, {} m", ("2", "5", "10", "15"), "18", "4"),
    ("GL-{}", "Glycol bottle for probes, {} ml", ("30", "60", "120"), "9", "2.5"),
    ("WB-{}", "Bracket for loggers, type {}", ("2", "3", "4", "5"), "11", "1.5"),
    ("KIT-TL1-{}", "Starter kit: {} TL-100, one GW-20, cable", ("5", "10", "25", "50"), "860", "450"),
    ("KIT-TL2-{}", "Starter kit: {} TL-200 with probe, one GW-20, cable", ("5", "10", "25", "50"), "1380", "960"),
    ("KIT-HL1-{}", "Starter kit: {} HL-150, one GW-20, cable", ("5", "10", "25"), "1310", "880"),
    ("GW20-MT-{}", "Mast mount for GW-20, {} mm", ("40", "60", "90"), "22", "5"),
    ("AN-20-{}M", "Aerial for GW-20, {} m cable", ("2", "10", "15"), "33", "9"),
    ("PS-24-{}", "Power supply 24 V for GW-20, plug {}", ("UK", "EU", "CA"), "27", "0"),
    ("POE-{}", "PoE injector class 2, plug {}", ("UK", "EU", "CA"), "31", "0"),
    ("REL-{}", "Alarm relay with horn, {} channels", ("1", "2", "4"), "58", "34"),
    ("HS-{}", "Housing set for TL-200, {}", ("upper", "lower", "complete"), "14", "8"),
    ("GK-{}", "Gasket set for TL-200, pack of {}", ("1", "10"), "4", "22"),
    ("BAT-36-{}", "Battery AA 3.6 V, pack of {}", ("2", "50"), "15", "240"),
    ("LB-{}", "Label set for loggers, {} pieces", ("100", "500"), "12", "31"),
    ("SC-2-{}", "Service cable, USB, {} m", ("3", "5"), "29", "5"),
    ("CAL-S-{}", "Single calibration, temperature, {} points", ("5", "7"), "62", "14"),
    ("CAL-H-{}", "Single calibration, humidity, {} points", ("5", "7"), "79", "16"),
    ("MAP-{}", "Mapping study, up to {} loggers", ("20", "60", "120"), "980", "640"),
    ("TRN-{}", "Training, {}", ("half a day online", "one day in Leeds", "one day on site"), "280", "310"),
    ("SVC-{}", "Site service contract, {} visits a year", ("1", "2", "4"), "690", "560"),
    ("API-{}", "Interface adapter, {}", ("building control", "CSV export", "laboratory system"), "1900", "900"),
    ("REP-{}", "Repair at fixed price, {}", ("TL-100", "TL-200", "HL-150", "GW-20"), "36", "21"),
    ("LOAN-{}", "Loan logger, {} weeks", ("2", "4"), "24", "18"),
)  # fmt: skip
EUR, CAD = Decimal("1.17"), Decimal("1.77")
WARRANTY = {"Parts": 12, "Calibration": 0, "Fernhill Cloud": 0, "Services": 0}
FACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "TL-100": (
        "Wireless temperature logger with a built-in sensor.",
        {"range_c": [-30, 60], "accuracy_c": 0.4, "memory_readings": 60_000, "protection": "IP65"},
    ),
    "TL-200": (
        "Wireless temperature logger with an exchangeable probe, for cold stores, freezers, transport and process.",
        {"range_c": [-90, 140], "accuracy_c": 0.2, "memory_readings": 120_000, "protection": "IP67"},
    ),
    "HL-150": (
        "Wireless logger for relative humidity and temperature, with a filter cap that you change yourself.",
        {"range_c": [-20, 60], "range_rh": [5, 95], "accuracy_rh": 2, "protection": "IP54"},
    ),
    "VX-300": (
        "Wireless vibration sensor for pumps, fans and compressors from 4 to 250 kW.",
        {"axes": 2, "range_g": 16, "accuracy_percent": 5, "protection": "IP67"},
    ),
    "GW-20": (
        "Gateway between the loggers' radio and Fernhill Cloud; holds 72 hours while it is offline.",
        {"loggers": 64, "buffer_hours": 72, "power": "PoE class 2 or 24 V"},
    ),
    "Parts": ("Spare part or accessory of Fernhill loggers.", {}),
    "Calibration": ("Calibration by our laboratory in Leeds, traceable to national standards.", {}),
    "Fernhill Cloud": ("Readings, alarms and reports of your loggers in the browser.", {}),
    "Services": ("Work that we do for you.", {}),
}
CATEGORIES = {"Parts": "parts", "Calibration": "services", "Services": "services", "Fernhill Cloud": "cloud"}


def make_products() -> tuple[Product, ...]:
    """All articles; prices of the list are those of the document."""
    listed = [_listed(*line.split("|")) for line in LISTED.strip().splitlines()]
    return (*listed, *(product for series in SERIES for product in _series(*series)))


def _listed(sku: str, name: str, family: str, gbp: str, eur: str, cad: str, delivery: str) -> Product:
    text, attributes = FACTS[family]
    return Product(
        sku=sku,
        name=name,
        family=family,
        category=CATEGORIES.get(family, "devices"),
        price_gbp=_money(gbp),
        price_eur=_money(eur),
        price_cad=_money(cad),
        description=f"{name}. {text}",
        delivery=delivery,
        warranty_months=WARRANTY.get(family, 24),
        attributes=dict(attributes),
    )


def _money(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.01"))


def _series(sku: str, name: str, variants: tuple[str, ...], first: str, step: str) -> list[Product]:
    services = sku.startswith(("MAP", "TRN", "SVC", "API", "REP", "LOAN"))
    family = "Services" if services else "Calibration" if sku.startswith("CAL") else "Parts"
    made = []
    for place, variant in enumerate(variants):
        price = Decimal(first) + place * Decimal(step)
        code = sku.format(variant.split()[0].upper())
        if sku.startswith(("TRN", "API")):
            code += str(place + 1)
        eur, cad = (str((price * rate).quantize(Decimal("0.5"))) for rate in (EUR, CAD))
        made.append(
            _listed(
                code, name.format(variant), family, str(price), eur, cad, "by appointment" if services else "1 week"
            )
        )
    return made
