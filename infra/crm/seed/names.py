"""Names, streets and telephone ranges by country. Numbers come from ranges that regulators reserve for fiction
(Ofcom, ARCEP, Bundesnetzagentur, ComReg, NANP 555-01xx); the Netherlands reserve none, so nobody there has one."""

FIRST = {
    "GB": "Elizabeth Robert Margaret William Katherine James Rebecca Thomas Samantha Andrew Victoria Michael Priyanka "
    "Daniel Abigail Christopher Olivia Benjamin Nicola Matthew Philippa Joseph Amelia Edward Harriet Imran Fiona Alun "
    "Gareth Siobhan Alistair Catriona Rhys Sanjay Leila Duncan Morag Anthony Josephine Stephen",
    "DE": "Jürgen Björn Käthe Jörg Günther Heike Sabine Matthias Lukas Ulrike Torsten Annelie Markus Bärbel Friederike "
    "Stefan Anke Holger Silke Rüdiger",
    "FR": "François Élodie Chloé Jérôme Gaëlle Benoît Aurélie Hélène Thierry Noémie Loïc Mathilde Rémi Sylvie Didier "
    "Océane",
    "CA": "Étienne Madison Tyler Geneviève Logan Brooke Marc-André Kayla Connor Joséphine Dylan Mackenzie Noah Amrit "
    "Chantal Patrick",
    "NL": "Sjoerd Femke Joris Maartje Daniël Anouk Zoë Thijs Willemijn Renée Bas Marloes",
    "IE": "Seán Niamh Pádraig Aoife Ciarán Róisín Eoin Gráinne",
}
LAST = {
    "GB": "Whitfield Ashworth Pemberton Hargreaves Sutcliffe Llewellyn MacAllister Ramsbottom Okonkwo Chaudhry "
    "Bickerton Thackeray "
    "Fairclough Winterbourne Postlethwaite Greenhalgh Brathwaite Kaur Entwistle Holroyd Cartwright Oldroyd "
    "Trevelyan Pritchard Dunwoody Featherstone Garside Huxtable Inglethorpe Jessop Kirkbride Lockwood Mountjoy "
    "Netherby Osgood Penhaligon Quarmby Redfern Shackleton Tunnicliffe",
    "DE": "Müller-Brandt Schäfer Köhler Grünwald Weiß Böttcher Krüger Löwenthal Straßer Jäger Hübner Nußbaum Vogel "
    "Rößler Schönfeld Brückner",
    "FR": "Lefèvre Béranger Gauthier-Rémy Château Crépin Dufrêne Hervé Joubert Lacoste Marchal Noël Pérez Roussel "
    "Thévenet",
    "CA": "Tremblay Gagné MacIsaac Bélanger Côté Sinclair Fraser Lévesque Singh Nguyen Pelletier Robichaud "
    "McKinnon Dubé",
    "NL": "van_der_Meer de_Groot van_den_Heuvel Dijkstra ten_Brink Jansen-Kuipers Hoekstra van_Rijn Zijlstra",
    "IE": "Ó_Súilleabháin Ní_Dhomhnaill Mac_Cárthaigh O'Rourke FitzGerald O'Connor Breathnach",
}
CITIES = {
    "GB": ("Leeds", "Hull", "Goole", "Wisbech", "Sheffield", "Bristol", "Glasgow", "Cardiff", "Tilbury", "Manchester"),
    "DE": ("Frankfurt", "Hamburg", "Köln", "München"),
    "FR": ("Lyon", "Lille", "Bordeaux", "Nantes"),
    "CA": ("Toronto", "Guelph", "Mississauga", "Hamilton"),
    "NL": ("Utrecht", "Amsterdam", "Rotterdam"),
    "IE": ("Cork", "Dundalk"),
}
STREETS = {
    "GB": "Mill Lane|Canal Road|Station Approach|Quarry Hill|Weaver Street|Dock Road|Beck View|Foundry Court",
    "DE": "Hafenstraße|Gerberweg|Industriestraße|Am Kühlhaus",
    "FR": "rue des Tanneurs|quai du Port|avenue de la Gare|allée des Érables",
    "CA": "Foundry Street|Lakeshore Road|Mill Pond Drive|rue du Marché",
    "NL": "Havenkade|Molenstraat|Fabrieksweg",
    "IE": "Quay Street|Creamery Road",
}
POSTCODES = {
    "GB": "ZZ{0}{1} {2}ZZ",
    "DE": "000{0}{1}",
    "FR": "000{0}{1}",
    "CA": "Z{0}Z {1}Z{2}",
    "NL": "000{0} ZZ",
    "IE": "Z0{0} ZZ{1}{2}",
}
# Prefix, and how many digits follow.
PHONES = {
    "GB": tuple((f"+44{city}4960", 3) for city in (113, 114, 115, 116, 117, 118, 121, 131, 141, 151, 161)),
    "DE": (("+493023125", 3), ("+496990009", 3), ("+494066969", 3)),
    "FR": (("+33199", 6), ("+33465", 6)),
    "CA": (("+141655501", 2), ("+190555501", 2)),
    "IE": (("+3532091", 5),),
}
MOBILES = {"GB": ("+447700900", 3), "DE": ("+4917139200", 2), "FR": ("+33639981", 5)}
NICKNAMES = {
    "Elizabeth": "Liz", "Robert": "Bob", "Margaret": "Peggy", "William": "Bill", "Katherine": "Kate", "James": "Jim",
    "Rebecca": "Becky", "Thomas": "Tom", "Samantha": "Sam", "Andrew": "Andy", "Victoria": "Vicky", "Michael": "Mike",
    "Daniel": "Dan", "Abigail": "Abby", "Christopher": "Chris", "Benjamin": "Ben", "Nicola": "Nicky", "Matthew": "Matt",
    "Philippa": "Pippa", "Joseph": "Joe", "Edward": "Ted", "Anthony": "Tony", "Josephine": "Josie", "Stephen": "Steve",
}  # fmt: skip
TITLES = (
    "Quality manager", "Facilities manager", "Site engineer", "Operations director", "Warehouse manager", "Buyer",
    "Laboratory manager", "Shift lead", "Refrigeration technician", "Head of compliance", "IT administrator",
    "Accounts payable", "Head pharmacist", "Maintenance planner",
)  # fmt: skip
