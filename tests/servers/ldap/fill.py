"""Makes a unit of a controller hold exactly what is told, with the ids that are told.

Called with the controller's configuration and database; reads JSON from standard input: the unit, entries to add, and the names of
those of them that are deleted at once.
"""
import json
import sys

import ldb
from samba.auth import system_session
from samba.dcerpc import misc
from samba.ndr import ndr_pack
from samba.param import LoadParm
from samba.samdb import SamDB

conf, database = sys.argv[1:3]
told = json.load(sys.stdin)
lp = LoadParm()
lp.load(conf)
sam = SamDB(url=database, session_info=system_session(), lp=lp)
unit = told["unit"]

sam.transaction_start()
# What was there is deleted, and then its tombstones are, so that the ids are free again.
old = sam.search(unit, scope=ldb.SCOPE_SUBTREE, attrs=["objectGUID"]) if told["fresh"] is False else []
if old:
    sam.delete(unit, ["tree_delete:1"])
for name in told["wipe"]:
    for dead in sam.search(
        sam.domain_dn(), expression="(objectGUID=%s)" % name, attrs=["cn"], controls=["show_recycled:1"]
    ):
        sam.delete(dead.dn, ["show_recycled:1", "relax:0"])
sam.add({"dn": unit, "objectClass": "organizationalUnit"})
for entry in told["add"]:
    message = ldb.Message()
    message.dn = ldb.Dn(sam, entry["dn"])
    for name, values in entry["values"].items():
        octets = [value.encode() for value in values]
        if name == "objectGUID":
            octets = [ndr_pack(misc.GUID(value)) for value in values]
        message[name] = ldb.MessageElement(octets, ldb.FLAG_MOD_ADD, name)
    sam.add(message, ["relax:0"])
for group in told["members"]:
    if group["members"]:
        message = ldb.Message()
        message.dn = ldb.Dn(sam, group["dn"])
        octets = [member.encode() for member in group["members"]]
        message["member"] = ldb.MessageElement(octets, ldb.FLAG_MOD_ADD, "member")
        sam.modify(message)
for name in told["delete"]:
    sam.delete(name)
sam.transaction_commit()
