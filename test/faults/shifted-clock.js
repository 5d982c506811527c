/**
 * Loaded into a process before anything else (`--import`): its clock is CLOCK_SHIFT_MS ahead of the machine's, as that
 * of a machine nobody synchronises is. Timers run as always.
 */
const shiftMs = Number(process.env["CLOCK_SHIFT_MS"]);
if (!Number.isSafeInteger(shiftMs)) throw new Error("CLOCK_SHIFT_MS must be a whole number of milliseconds");

const TrueDate = Date;
globalThis.Date = class Date extends TrueDate {
  constructor(...parts) {
    if (parts.length === 0) super(TrueDate.now() + shiftMs);
    else super(...parts);
  }

  static now() {
    return TrueDate.now() + shiftMs;
  }
};
