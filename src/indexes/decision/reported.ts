/** The states of a declared index as reports and metrics name them: a fixed set, since other programs read it. */
import type { IndexState } from "./state.ts";

export const REPORTED_STATES = ["ok", "missing", "different", "building", "invalid"] as const;
export type ReportedState = (typeof REPORTED_STATES)[number];

export const REPORTED: Readonly<Record<IndexState["state"], ReportedState>> = {
  present: "ok",
  building: "building",
  missing: "missing",
  invalid: "invalid",
  different: "different",
  "without target": "missing",
  unusable: "different",
};
