// A SCIM server for tests: scimmy-routers over maps in memory. `/NAME/v2` is a store of its own.
//
//   node server.mjs PORT TOKEN
//
// It is as careless as servers are: it checks that names are unique, and nothing about members or external ids.
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = process.argv.slice(2);
const tenants = new Map();
const storeOf = (tenant, kind) => {
  if (!tenants.has(tenant)) tenants.set(tenant, { User: new Map(), Group: new Map() });
  return tenants.get(tenant)[kind];
};

const declare = (kind, name) => SCIMMY.Resources.declare(SCIMMY.Resources[kind], {
  egress: (resource, context) => {
    const store = storeOf(context.tenant, kind);
    if (!resource.id) return [...store.values()];
    if (!store.has(resource.id)) throw new SCIMMY.Types.Error(404, null, `${kind} not found`);
    return store.get(resource.id);
  },
  ingress: (resource, data, context) => {
    const store = storeOf(context.tenant, kind);
    if (resource.id && !store.has(resource.id)) throw new SCIMMY.Types.Error(404, null, `${kind} not found`);
    for (const other of store.values()) {
      if (other.id !== resource.id && other[name] === data[name]) {
        throw new SCIMMY.Types.Error(409, "uniqueness", `${name} is taken`);
      }
    }
    const id = resource.id ?? randomUUID();
    const now = new Date().toISOString();
    const meta = { created: store.get(id)?.meta?.created ?? now, lastModified: now };
    const { schemas, ...values } = JSON.parse(JSON.stringify(data));
    store.set(id, { ...values, id, meta: { ...values.meta, ...meta } });
    return store.get(id);
  },
  degress: (resource, context) => {
    if (!storeOf(context.tenant, kind).delete(resource.id)) {
      throw new SCIMMY.Types.Error(404, null, `${kind} not found`);
    }
  },
});
SCIMMY.Resources.User.extend(SCIMMY.Schemas.EnterpriseUser);
declare("User", "userName");
declare("Group", "displayName");

const routers = new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    if (request.header("Authorization") !== `Bearer ${token}`) throw new Error("token is missing or wrong");
  },
  context: (request) => ({ tenant: request.tenant }),
});
express()
  .use("/:tenant/v2", (request, response, next) => {
    request.tenant = request.params.tenant;
    routers(request, response, next);
  })
  .listen(Number(port), "127.0.0.1");
