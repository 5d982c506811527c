/** PetBuddy's bot: every message looks up a page's company, a contact, its last messages and free appointments. */
import type { Contract, Manifest, MongoIndex } from "../src/indexes/index.ts";
import { by } from "./keys.ts";

/** The document's figures: 500 to 1,000 ms without, 2 to 5 ms with, 100 to 200 times. */
const LOOKUP = { maxMs: 5, promised: { withoutMs: 500, factor: 100 } } as const;
const OVERALL = { promised: { factor: 50 } } as const;

const contacts: readonly MongoIndex[] = [
  ...(["facebookId", "instagramId", "whatsapp"] as const).map((network, n): MongoIndex => ({
    name: `companyId_1_social.${network}_1`,
    ...(n === 0 ? { required: true as const } : {}),
    why: "the contact of a message, read for every message",
    keys: by("companyId", `social.${network}`),
    contracts: [
      {
        name: `by ${network}`,
        ...LOOKUP,
        maxExaminedPerReturned: 1,
        find: { filter: { companyId: "$p:company", [`social.${network}`]: "$p:id" }, limit: 1 },
      },
    ],
  })),
  {
    name: "companyId_1_phone_1",
    why: "contact by telephone number",
    note: "the document selects the field as phoneNumber elsewhere: the index is of use for the one that is stored",
    keys: by("companyId", "phone"),
    contracts: [
      { name: "by phone", ...OVERALL, find: { filter: { companyId: "$p:company", phone: "$p:phone" }, limit: 1 } },
    ],
  },
  {
    name: "companyId_1_email_1",
    why: "contact by address",
    keys: by("companyId", "email"),
    contracts: [
      { name: "by address", ...OVERALL, find: { filter: { companyId: "$p:company", email: "$p:email" }, limit: 1 } },
    ],
  },
  {
    name: "companyId_1_contactStatus_1",
    why: "contacts of a status",
    keys: by("companyId", "contactStatus"),
    contracts: [
      { name: "of a status", ...OVERALL, find: { filter: { companyId: "$p:company", contactStatus: "lead" } } },
    ],
  },
  ...(["lastMessageAt", "createdAt"] as const).map((time): MongoIndex => ({
    name: `companyId_1_${time}_-1`,
    why: time === "createdAt" ? "newest contacts" : "who wrote last",
    keys: by("companyId", `-${time}`),
    contracts: [
      {
        name: time === "createdAt" ? "newest 50" : "last 50 that wrote",
        mode: "could", // a company has about a thousand contacts: sorting them all may be as cheap
        ...OVERALL,
        noSort: true,
        find: { filter: { companyId: "$p:company" }, sort: { [time]: -1 }, limit: 50 },
      },
    ],
  })),
];

const messages: readonly MongoIndex[] = [
  {
    name: "contact_id_1_platform_1_created_at_1",
    why: "a conversation on one platform, from its beginning",
    keys: by("contact_id", "platform", "created_at"),
    contracts: [
      {
        name: "a conversation on a platform",
        ...OVERALL,
        noSort: true,
        find: { filter: { contact_id: "$p:contact", platform: "$p:platform" }, sort: { created_at: 1 } },
      },
    ],
  },
  {
    name: "company_id_1_platform_1_created_at_-1",
    why: "a company's newest messages on one platform",
    keys: by("company_id", "platform", "-created_at"),
    contracts: [
      {
        name: "a company's newest on a platform",
        ...OVERALL,
        noSort: true,
        find: { filter: { company_id: "$p:company", platform: "$p:platform" }, sort: { created_at: -1 }, limit: 100 },
      },
    ],
  },
  {
    name: "contact_id_1_created_at_-1",
    why: "the last 100 messages, read for every message",
    keys: by("contact_id", "-created_at"),
    contracts: [
      {
        name: "last 100",
        maxMs: 10,
        promised: { withoutMs: 200, factor: 40 },
        noSort: true,
        maxExaminedPerReturned: 1,
        find: { filter: { contact_id: "$p:contact" }, sort: { created_at: -1 }, limit: 100 },
      },
    ],
  },
  {
    name: "content_text",
    why: "search in a company's messages",
    note:
      "led by company_id, where the document's {content: 'text'} would search every company's messages; a search must " +
      "then name its company. A collection has one text index: an existing one under this name is reported as different.",
    keys: [...by("company_id"), ["content", "text"]],
    weights: { content: 1 },
    defaultLanguage: "english",
    contracts: [
      {
        name: "search",
        ...OVERALL,
        find: { filter: { company_id: "$p:company", $text: { $search: "vaccination" } }, limit: 50 },
      },
    ],
  },
];

const appointments: readonly MongoIndex[] = [
  {
    name: "companyId_1_locationId_1_staffId_1_start_1_end_1",
    why: "free times of one person, read for every booking",
    keys: by("companyId", "locationId", "staffId", "start", "end"),
    contracts: [
      {
        name: "availability",
        // These indexes are accepted too: a location has few persons, and FerretDB has no statistics on a field's
        // values.
        orUses: ["companyId_1_locationId_1_start_1", "companyId_1_locationId_1_start_1_status_1"],
        maxMs: 20,
        promised: { withoutMs: 1000, factor: 100 },
        find: {
          filter: {
            companyId: "$p:company",
            locationId: "$p:location",
            staffId: "$p:staff",
            start: { $gte: "$p:from", $lt: "$p:to" },
            status: { $in: ["scheduled", "checked_in"] },
          },
        },
      },
    ],
  },
  {
    name: "companyId_1_locationId_1_customerId_1",
    why: "a customer's appointments",
    keys: by("companyId", "locationId", "customerId"),
    contracts: [
      {
        name: "a customer's",
        ...OVERALL,
        find: { filter: { companyId: "$p:company", locationId: "$p:location", customerId: "$p:customer" } },
      },
    ],
  },
  {
    name: "companyId_1_locationId_1_status_1",
    why: "appointments of a status",
    keys: by("companyId", "locationId", "status"),
    contracts: [
      {
        name: "of a status",
        ...OVERALL,
        find: { filter: { companyId: "$p:company", locationId: "$p:location", status: "cancelled" } },
      },
    ],
  },
  {
    name: "companyId_1_locationId_1_start_1",
    why: "a location's appointments of a range",
    note: "redundant with companyId_1_locationId_1_start_1_status_1, which begins with it: check says so; leave it out",
    keys: by("companyId", "locationId", "start"),
    contracts: [
      {
        name: "of a range",
        ...OVERALL,
        orUses: ["companyId_1_locationId_1_start_1_status_1"],
        find: {
          filter: { companyId: "$p:company", locationId: "$p:location", start: { $gte: "$p:from", $lt: "$p:to" } },
        },
      },
    ],
  },
  {
    name: "companyId_1_locationId_1_start_1_status_1",
    why: "a location's day, by status",
    keys: by("companyId", "locationId", "start", "status"),
    contracts: [
      {
        name: "daily list",
        ...OVERALL,
        orUses: ["companyId_1_locationId_1_start_1"],
        params: { from: { sample: "start", shift: "-12h" }, to: { sample: "start", shift: "+12h" } },
        find: {
          filter: {
            companyId: "$p:company",
            locationId: "$p:location",
            start: { $gte: "$p:from", $lt: "$p:to" },
            status: { $ne: "cancelled" },
          },
        },
      },
    ],
  },
  {
    name: "companyId_1_googleCalendarEventId_1",
    why: "the appointment of a calendar's event",
    keys: by("companyId", "googleCalendarEventId"),
    contracts: [
      {
        name: "by calendar event",
        ...OVERALL,
        find: { filter: { companyId: "$p:company", googleCalendarEventId: "$p:event" }, limit: 1 },
      },
    ],
  },
];

/** A webhook knows only the page that was written to. */
function pageIndex(field: "facebookChatId" | "instagramChatId"): MongoIndex {
  return {
    name: `${field}_1`,
    why: "the company of a page, read for every message",
    note:
      "partial, since most companies lack the one or the other; equality to a string implies the filter. Not unique: " +
      "that a page has one company is likely, and the document does not say it.",
    keys: by(field),
    partial: { [field]: { $gt: "" } },
    contracts: [
      { name: "webhook", ...OVERALL, maxExaminedPerReturned: 1, find: { filter: { [field]: "$p:page" }, limit: 1 } },
    ],
  };
}

const anyNetwork: Contract = {
  name: "contact of any network, without its company",
  mode: "cannot",
  because:
    "every index leads with companyId, which is missing: with it in the filter each branch of the $or goes through its own index",
  find: { filter: { $or: [{ "social.facebookId": "$p:id" }, { "social.instagramId": "$p:id" }] }, limit: 1 },
};

/** PetBuddy's manifest; names are those that its schemas give. */
export const petbuddy: Manifest = {
  version: 1,
  project: "petbuddy",
  createCollections: true,
  mongo: {
    contacts,
    messages,
    appointments,
    companyintegrations: [
      {
        name: "companyId_1",
        why: "one integration a company",
        keys: by("companyId"),
        unique: true,
        contracts: [{ name: "of a company", ...OVERALL, find: { filter: { companyId: "$p:company" } } }],
      },
      pageIndex("facebookChatId"),
      pageIndex("instagramChatId"),
    ],
  },
  queries: {
    contacts: [anyNetwork],
    appointments: [
      {
        name: "a company's appointments from a day, counted",
        mode: "cannot",
        because:
          "called covered in the document, but no index is {companyId, start}: those with locationId between them read " +
          "all of the company. Name the location, or declare {companyId: 1, start: 1}",
        count: { companyId: "$p:company", start: { $gte: "$p:start" } },
      },
    ],
  },
};
