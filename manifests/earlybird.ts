/**
 * EarlyBird's daily deliveries: its step 30 asks for twelve indexes at once (phase 1) and seven later (phase 2). Those
 * it only recommends beside a query are phase 3.
 */
import type { Manifest, MongoIndex } from "../src/indexes/index.ts";
import { by } from "./keys.ts";

/** Why a business key is unique here, unlike in the document. */
const UNIQUE =
  "unique, where the document has a plain index: it is the key that every lookup and update trusts. Partial, so that " +
  "documents without it do not count as equal; equality to a string implies the filter. Duplicates make the build fail " +
  "with examples: clean them first.";

/** The document promises factors of 50 to 100 for phase 1 and 10 to 50 for phase 2; the lower end is compared. */
const PHASE_1 = { factor: 50 };
const PHASE_2 = { factor: 10 };

function businessKey(of: string, phase: 1 | 2, why: string): MongoIndex {
  const promised = phase === 1 ? PHASE_1 : PHASE_2;
  return {
    name: "id_1",
    ...(phase === 1 ? {} : { phase }),
    why,
    note: UNIQUE,
    keys: by("id"),
    unique: true,
    partial: { id: { $gt: "" } },
    contracts: [{ name: `${of} by id`, promised, find: { filter: { id: "$p:id" }, limit: 1 } }],
  };
}

const users: readonly MongoIndex[] = [
  businessKey("user", 1, "every authenticated request"),
  {
    name: "email_1",
    why: "login; one account an address",
    note:
      "partial, where the document's plain unique index would take two users without an address for the same: equality " +
      "to a string implies this filter (it does not imply $type), so its query stays as it is. Addresses are to be written in lower case, or two " +
      "spellings are two accounts. Duplicates make the build fail with examples.",
    keys: by("email"),
    unique: true,
    partial: { email: { $gt: "" } },
    contracts: [{ name: "login", promised: PHASE_1, find: { filter: { email: "$p:email" }, limit: 1 } }],
  },
  {
    name: "role_1",
    why: "the few staff of a role; the dashboard's count",
    note: "nearly all users are customers: for those it saves nothing, for staff it does",
    keys: by("role"),
    contracts: [
      { name: "staff of a role", promised: PHASE_1, find: { filter: { role: "ADMIN" } } },
      { name: "customers, counted", mode: "could", promised: PHASE_1, count: { role: "CUSTOMER" } },
    ],
  },
];

const orders: readonly MongoIndex[] = [
  {
    name: "user_id_1",
    why: "order history",
    note: "redundant with user_id_1_status_1, which begins with it: check says so; drop it once that is built",
    keys: by("user_id"),
    contracts: [
      {
        name: "a user's orders",
        orUses: ["user_id_1_status_1"],
        maxExaminedPerReturned: 1,
        maxMs: 20,
        promised: { withoutMs: 500, factor: 25 },
        find: { filter: { user_id: "$p:user" } },
      },
    ],
  },
  {
    name: "status_1_delivery_date_-1",
    why: "reports by status, newest first, and by status and month",
    note:
      "it also serves pattern 4, for which the document recommends {delivery_date: 1, status: 1}: a range before an " +
      "equality reads every status of the range. That index is therefore left out.",
    keys: by("status", "-delivery_date"),
    contracts: [
      {
        name: "orders of a status, newest first",
        mode: "could", // as the document asks it: most orders are delivered, and all of them are wanted
        noSort: true,
        promised: PHASE_1,
        find: { filter: { status: "DELIVERED" }, sort: { delivery_date: -1 } },
      },
      {
        name: "orders of a status, newest 50",
        noSort: true,
        promised: PHASE_1,
        find: { filter: { status: "DELIVERED" }, sort: { delivery_date: -1 }, limit: 50 },
      },
      {
        name: "delivered in a month",
        mode: "could", // a month is a twelfth of the year that the sample spans
        promised: PHASE_1,
        find: { filter: { delivery_date: { $gte: "$p:from", $lte: "$p:to" }, status: "DELIVERED" } },
      },
    ],
  },
  {
    name: "delivery_date_1",
    why: "today's orders",
    keys: by("delivery_date"),
    contracts: [
      {
        name: "orders of a day",
        maxExaminedPerReturned: 1,
        promised: PHASE_1,
        find: { filter: { delivery_date: "$p:day" } },
      },
    ],
  },
  {
    name: "user_id_1_status_1",
    phase: 3,
    why: "a user's orders of a given status",
    note: "recommended beside pattern 5 and then in neither list; it makes user_id_1 redundant",
    keys: by("user_id", "status"),
    contracts: [
      {
        name: "a user's open or delivered orders",
        orUses: ["user_id_1"],
        promised: PHASE_1,
        // The document writes "delivered" here and "DELIVERED" in patterns 3 and 4; the data has one spelling.
        find: { filter: { user_id: "$p:user", status: { $in: ["PENDING", "DELIVERED"] } } },
      },
    ],
  },
];

const subscriptions: readonly MongoIndex[] = [
  {
    name: "status_1",
    required: true,
    why: "billing and the dashboard's count",
    note: "most subscriptions are active: billing reads most of the collection with it or without",
    keys: by("status"),
    contracts: [
      { name: "active, counted", mode: "could", promised: PHASE_1, count: { status: "active" } },
      {
        name: "to be billed",
        mode: "could",
        promised: PHASE_1,
        find: { filter: { status: { $in: ["active", "paused"] } } },
      },
    ],
  },
  {
    name: "customer_id_1",
    why: "customer lookup",
    note:
      "its query is without the document's limit of one: a customer may have several, and FerretDB, which takes every " +
      "equality for unselective, then reads along _id instead of through the index",
    keys: by("customer_id"),
    contracts: [{ name: "of a customer", promised: PHASE_1, find: { filter: { customer_id: "$p:customer" } } }],
  },
  {
    ...businessKey("subscription", 1, "update by id"),
    note: `in place of id_1_status_1: an id has one document, so status behind it narrows nothing. It is ${UNIQUE}`,
    contracts: [
      {
        name: "the active one of an id",
        maxExaminedPerReturned: 1,
        promised: PHASE_1,
        find: { filter: { id: "$p:id", status: "active" }, limit: 1 },
      },
    ],
  },
];

const deliveryStatuses: readonly MongoIndex[] = [
  {
    name: "order_id_1",
    why: "which order a delivery confirms",
    note: "partial: the field is new, and the documents from before, which have none, need no place in it",
    keys: by("order_id"),
    partial: { order_id: { $gt: "" } },
    contracts: [{ name: "of an order", promised: PHASE_1, find: { filter: { order_id: "$p:order" }, limit: 1 } }],
  },
  {
    name: "customer_id_1_delivery_date_-1",
    why: "a customer's deliveries in a range of days, or all of them",
    keys: by("customer_id", "-delivery_date"),
    contracts: [
      {
        name: "a customer's deliveries in a range",
        maxExaminedPerReturned: 1,
        promised: PHASE_1,
        find: { filter: { customer_id: "$p:customer", delivery_date: { $gte: "$p:from", $lte: "$p:to" } } },
      },
    ],
  },
  {
    name: "customer_id_1",
    phase: 2,
    why: "a customer's deliveries",
    note: "redundant with customer_id_1_delivery_date_-1, which begins with it: check says so; leave it out",
    keys: by("customer_id"),
    contracts: [
      {
        name: "a customer's deliveries",
        orUses: ["customer_id_1_delivery_date_-1"],
        promised: PHASE_2,
        find: { filter: { customer_id: "$p:customer" } },
      },
    ],
  },
];

/** EarlyBird's manifest. Its list of phase 2 is headed "6" and has seven. */
export const earlybird: Manifest = {
  version: 1,
  project: "earlybird",
  createCollections: true,
  mongo: {
    users,
    orders,
    subscriptions_v2: subscriptions,
    products: [
      businessKey("product", 1, "product page"),
      {
        name: "category_1",
        phase: 2,
        why: "products of a category",
        note: "optional in the document; a catalogue of some thousand products is read whole about as fast",
        keys: by("category"),
        contracts: [
          { name: "of a category", mode: "could", promised: PHASE_2, find: { filter: { category: "$p:category" } } },
        ],
      },
    ],
    delivery_statuses: deliveryStatuses,
    leads: [
      {
        name: "status_1_created_at_-1",
        phase: 2,
        why: "leads of a status, newest first",
        keys: by("status", "-created_at"),
        contracts: [
          {
            name: "of a status, newest first",
            noSort: true,
            promised: PHASE_2,
            find: { filter: { status: "won" }, sort: { created_at: -1 } },
          },
        ],
      },
      businessKey("lead", 2, "lead by id"),
    ],
    billing_records: [
      {
        name: "customer_id_1",
        phase: 2,
        why: "a customer's bills",
        keys: by("customer_id"),
        contracts: [{ name: "of a customer", promised: PHASE_2, find: { filter: { customer_id: "$p:customer" } } }],
      },
      {
        name: "period_1_status_1",
        phase: 2,
        why: "settled bills of a period",
        keys: by("period", "status"),
        contracts: [
          {
            name: "settled of a period",
            promised: PHASE_2,
            find: { filter: { period: "$p:period", status: "settled" } },
          },
        ],
      },
    ],
    suppliers: [
      {
        name: "email_1",
        phase: 2,
        why: "supplier by address",
        note: "optional in the document, which shows no query for it",
        keys: by("email"),
        contracts: [
          { name: "supplier by address", promised: PHASE_2, find: { filter: { email: "$p:email" }, limit: 1 } },
        ],
      },
    ],
  },
  queries: {
    products: [
      {
        name: "the whole catalogue",
        mode: "cannot",
        because: "it wants every product; a catalogue is small, and a page of it needs a sort and a limit",
        find: { filter: {}, projection: { _id: 0 } },
      },
    ],
  },
};
