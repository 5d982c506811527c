/** Finds the name in the database of a contract's index: its own, that of its window, or that of an equal index. */
import { UnreachableError } from "../../errors.ts";
import type { Placed } from "../contract/contracts.ts";
import { stateOf } from "../decision/state.ts";
import { withEngines, type IndexTargets } from "../engines/open.ts";
import type { ServingNames } from "../engines/verifier.ts";
import type { EngineName } from "../manifest/manifest.ts";
import { isOlderWindow, type Window } from "../manifest/rolling.ts";
import { onlyTarget } from "../manifest/selection.ts";

export interface NamingOptions extends IndexTargets {
  /** Declared name -> name in the database, which differs during a replacement. */
  readonly physicalNames?: Readonly<Record<string, string>>;
}

export class NamesInDatabase {
  readonly #options: NamingOptions;
  readonly #windows: ReadonlyMap<string, Window>;
  readonly #equals = new Map<string, Promise<ReadonlyMap<string, string>>>();

  /** @param windows the current windows, by their names in the database */
  constructor(options: NamingOptions, windows: ReadonlyMap<string, Window>) {
    this.#options = options;
    this.#windows = windows;
  }

  /** @param existing the names of all indexes of the target */
  async of({ engine, target, index, contract }: Placed, existing: readonly string[]): Promise<ServingNames> {
    const { orUses = [] } = contract;
    if (!index) return { own: undefined, accepted: orUses };
    const physical = this.#options.physicalNames?.[index.name];
    if (physical !== undefined) return { own: physical, accepted: [physical, ...orUses] };
    const window = this.#windows.get(index.name);
    const own =
      existing.find((name) => name === index.name) ??
      // Until the current window is built, the latest older one does its work.
      existing
        .filter((name) => window && isOlderWindow(name, window))
        .sort()
        .at(-1) ??
      (existing.length > 0 ? (await this.#equalNames(engine, target)).get(index.name) : undefined) ??
      index.name;
    return { own, accepted: [own, ...orUses] };
  }

  /** Declared name -> name of an index with the same definition, which does its work. */
  #equalNames(engine: EngineName, target: string): Promise<ReadonlyMap<string, string>> {
    const key = `${engine} ${target}`;
    // A role without the right to compare definitions finds no equal index.
    const none = (error: unknown) => {
      if (error instanceof UnreachableError) throw error;
      return new Map<string, string>();
    };
    const found = this.#equals.get(key) ?? this.#findEqual(engine, target).catch(none);
    this.#equals.set(key, found);
    return found;
  }

  #findEqual(engine: EngineName, target: string): Promise<ReadonlyMap<string, string>> {
    const { manifest, mongo, databaseUrl } = this.#options;
    const part = { manifest: onlyTarget(manifest, engine, target), mongo, databaseUrl };
    return withEngines(part, "look", async ({ engines }) => {
      const names = new Map<string, string>();
      const view = await engines[0]?.observe(target);
      if (!view) return names;
      for (const name of view.declared.keys()) {
        const state = stateOf(view, name);
        if (state.state === "present" && state.as !== undefined) names.set(name, state.as);
      }
      return names;
    });
  }
}
