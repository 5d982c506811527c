import fc from "fast-check";

/**
 * Fails where a property does not hold, and shows the counterexample with its seed and path.
 *
 * @param runs values that are drawn, times PROPERTY_RUNS
 */
export function holds<Values>(property: fc.IAsyncProperty<Values>, runs?: number): Promise<void>;
export function holds<Values>(property: fc.IProperty<Values>, runs?: number): void;
export function holds<Values>(property: fc.IRawProperty<Values>, runs = 100): Promise<void> | void {
  const [seed, factor] = [Number(process.env["PROPERTY_SEED"]), Number(process.env["PROPERTY_RUNS"])];
  return fc.assert(property, { seed, numRuns: Math.ceil(runs * factor) });
}
