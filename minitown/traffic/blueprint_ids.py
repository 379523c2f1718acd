"""CARLA 0.9.16's blueprint ids of vehicles and walkers, and the town's model for each."""

from __future__ import annotations

from collections.abc import Mapping

AMBIENT_VEHICLES: Mapping[str, str] = {
    "vehicle.tesla.model3": "sedan",
    "vehicle.lincoln.mkz_2020": "sedan",
    "vehicle.audi.a2": "hatchback",
    "vehicle.mini.cooper_s": "hatchback",
    "vehicle.nissan.micra": "hatchback",
    "vehicle.nissan.patrol": "suv",
    "vehicle.jeep.wrangler_rubicon": "suv",
    "vehicle.audi.etron": "suv",
    "vehicle.mercedes.sprinter": "van",
    "vehicle.volkswagen.t2": "van",
    "vehicle.tesla.cybertruck": "pickup",
    "vehicle.carlamotors.carlacola": "truck",
    "vehicle.mitsubishi.fusorosa": "bus",
    "vehicle.kawasaki.ninja": "motorcycle",
    "vehicle.yamaha.yzf": "motorcycle",
    "vehicle.diamondback.century": "bicycle",
    "vehicle.bh.crossbike": "bicycle",
}
"""The vehicles of ambient traffic. A fixed list: with another one every seed's drive changes."""

VEHICLES: Mapping[str, str] = {
    **AMBIENT_VEHICLES,
    "vehicle.audi.tt": "sedan",
    "vehicle.bmw.grandtourer": "hatchback",
    "vehicle.carlamotors.european_hgv": "truck",
    "vehicle.carlamotors.firetruck": "truck",
    "vehicle.chevrolet.impala": "sedan",
    "vehicle.citroen.c3": "hatchback",
    "vehicle.dodge.charger_2020": "sedan",
    "vehicle.dodge.charger_police": "sedan",
    "vehicle.dodge.charger_police_2020": "sedan",
    "vehicle.ford.ambulance": "van",
    "vehicle.ford.crown": "sedan",
    "vehicle.ford.mustang": "sedan",
    "vehicle.gazelle.omafiets": "bicycle",
    "vehicle.harley-davidson.low_rider": "motorcycle",
    "vehicle.lincoln.mkz_2017": "sedan",
    "vehicle.mercedes.coupe": "sedan",
    "vehicle.mercedes.coupe_2020": "sedan",
    "vehicle.micro.microlino": "hatchback",
    "vehicle.mini.cooper_s_2021": "hatchback",
    "vehicle.nissan.patrol_2021": "suv",
    "vehicle.seat.leon": "hatchback",
    "vehicle.toyota.prius": "hatchback",
    "vehicle.vespa.zx125": "motorcycle",
    "vehicle.volkswagen.t2_2021": "van",
}
SPECIAL: Mapping[str, str] = {
    "vehicle.carlamotors.firetruck": "emergency",
    "vehicle.dodge.charger_police": "emergency",
    "vehicle.dodge.charger_police_2020": "emergency",
    "vehicle.ford.ambulance": "emergency",
    "vehicle.ford.crown": "taxi",
    "vehicle.tesla.model3": "electric",
    "vehicle.tesla.cybertruck": "electric",
    "vehicle.audi.etron": "electric",
    "vehicle.micro.microlino": "electric",
    "vehicle.toyota.prius": "electric",
}
"""CARLA's `special_type`."""

SECOND_GENERATION = frozenset(
    {
        "vehicle.carlamotors.european_hgv",
        "vehicle.carlamotors.firetruck",
        "vehicle.dodge.charger_2020",
        "vehicle.dodge.charger_police_2020",
        "vehicle.ford.ambulance",
        "vehicle.ford.crown",
        "vehicle.lincoln.mkz_2020",
        "vehicle.mercedes.coupe_2020",
        "vehicle.mercedes.sprinter",
        "vehicle.mini.cooper_s_2021",
        "vehicle.mitsubishi.fusorosa",
        "vehicle.nissan.patrol_2021",
        "vehicle.tesla.cybertruck",
        "vehicle.volkswagen.t2_2021",
    }
)
"""CARLA's vehicles of `generation` 2, as its catalogue has them: with lights and doors, except:"""
UNLIT = frozenset({"vehicle.carlamotors.european_hgv", "vehicle.tesla.cybertruck"})
DOORLESS = frozenset({"vehicle.mitsubishi.fusorosa"})

AMBIENT_WALKERS: Mapping[str, str] = {
    f"walker.pedestrian.{n + 1:04d}": f"walker_{'abcd'[n % 4]}" for n in range(16)
}
WALKERS: Mapping[str, str] = {
    f"walker.pedestrian.{n + 1:04d}": f"walker_{'abcd'[n % 4]}" for n in range(52)
}

_PROPS = {
    "tiny": """
        bike_helmet brokentile01 brokentile02 brokentile03 brokentile04 colacan garbage01 garbage02
        garbage03 garbage04 garbage05 garbage06 mobile motorhelmet purse wateringcan plasticbag
        shoppingbag""",
    "small": """
        bin box01 box02 box03 briefcase constructioncone creasedbox01 creasedbox02 creasedbox03
        gardenlamp gnome guitarcase ironplank plantpot02 plantpot03 plantpot04 plantpot05 plantpot07
        plantpot08 platformgarbage01 trafficcone01 trafficcone02 trashbag trashcan01 travelcase
        dirtdebris01 chair plasticchair calibrator""",
    "medium": """
        barbeque barrel bench01 bench02 bench03 bikeparking chainbarrier chainbarrierend
        clothcontainer dirtdebris02 dirtdebris03 doghouse haybale mailbox maptable mesh plantpot01
        plantpot06 plastictable shoppingcart shoppingtrolley streetbarrier streetsign streetsign01
        streetsign04
        table trafficwarning trashcan02 trashcan03 trashcan04 trashcan05 warningaccident
        warningconstruction haybalelb""",
    "big": """
        advertisement atm clothesline container foodcart glasscontainer kiosk_01 pushcart
        streetfountain swing swingcouch vendingmachine slide""",
    "huge": "busstop busstoplb fountain pergola shop01 trampoline",
}
PROPS: Mapping[str, str] = {
    f"static.prop.{name.replace('bike_helmet', 'bike helmet')}": size
    for size, names in _PROPS.items()
    for name in names.split()
}
"""Things that a client can put into the street, and the size of the box that stands for each."""
