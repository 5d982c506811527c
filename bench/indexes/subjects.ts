/** The five documents: the part of a manifest for each, and the document's further promises. */
import { MANIFESTS } from "../../manifests/index.ts";
import { type Manifest, select } from "../../src/indexes/index.ts";
import { EVENT_FIELDS, type FieldMap } from "../../src/usage/event.ts";

export interface Subject {
  /** of the generated part of docs/indexes.md */
  readonly name: string;
  /** in `SAMPLE_DATA` */
  readonly data: string;
  readonly manifest: Manifest;
  /** The queries of one page together, and the document's figures for it. */
  readonly pages: readonly {
    readonly name: string;
    readonly contracts: readonly string[];
    readonly promised: string;
  }[];
  /** Dropped for the measurement without indexes, although a migration owns it. */
  readonly constraint?: { readonly table: string; readonly name: string; readonly definition: string };
  /** The most that indexes may add to a write, in percent. */
  readonly writesPct: number;
  /** The most that the indexes may take, in percent of the data; documents that name megabytes have no such figure. */
  readonly sizePct?: number;
}

const fields = Object.fromEntries(EVENT_FIELDS.map((field) => [field, field])) as FieldMap;
const named = (name: string) =>
  (MANIFESTS[name] as (typeof MANIFESTS)[string])({ collection: "token_usage_events", fields });

/** In the order of docs/indexes.md. */
export const SUBJECTS: readonly Subject[] = [
  {
    name: "usage-events",
    data: "usage",
    manifest: select(named("usage"), { engine: "mongodb" }),
    pages: [],
    writesPct: 10,
    sizePct: 20,
  },
  {
    name: "usage-cache",
    data: "usage",
    manifest: select(named("usage"), { engine: "postgres" }),
    pages: [],
    constraint: {
      table: "daily_usage_cache",
      name: "daily_usage_cache_pkey",
      definition: "PRIMARY KEY (tenant_id, date)",
    },
    writesPct: 15,
    sizePct: 10,
  },
  {
    name: "earlybird",
    data: "earlybird",
    manifest: named("earlybird"),
    pages: [
      {
        name: "the dashboard",
        contracts: ["customers, counted", "active, counted", "orders of a day", "delivered in a month"],
        promised: "3–5 s → 300–500 ms",
      },
    ],
    writesPct: 10,
  },
  {
    name: "petbuddy",
    data: "petbuddy",
    manifest: named("petbuddy"),
    pages: [
      {
        name: "a message",
        contracts: ["by facebookId", "last 100", "availability"],
        promised: "1,700–3,500 ms → 17–35 ms",
      },
    ],
    writesPct: 10,
  },
  { name: "justoai", data: "justoai", manifest: named("justoai"), pages: [], writesPct: 10 },
];
