import pg from "pg";

/** Numbers of types, as the server sends them. */
const builtins: Readonly<Record<"DATE" | "INT2" | "INT4" | "INT8" | "NUMERIC" | "FLOAT8", number>> = pg.types.builtins;

const INTEGER = /^-?\d+$/;
/** A canonical date of four digits for the year; PostgreSQL also knows "infinity" and years before Christ. */
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const NUMERIC = /^-?\d+(\.\d+)?$/;
const DOUBLE = /^-?(\d+(\.\d+)?(e[+-]\d+)?)$/;

/** Text that a type must have. A session that writes it otherwise would be read wrongly without a word. */
const TEXT_OF: Readonly<Record<number, RegExp>> = {
  [builtins.DATE]: DATE,
  [builtins.INT2]: INTEGER,
  [builtins.INT4]: INTEGER,
  [builtins.INT8]: INTEGER,
  [builtins.NUMERIC]: NUMERIC,
  [builtins.FLOAT8]: DOUBLE,
};

/**
 * How values are read. Dates stay text: a JS Date would be local midnight. Other types come as pg gives them (int8 and
 * numeric: text). A value that is no day or number is an error of its query.
 */
export const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format): ((value: string) => unknown) => {
    const type: number = oid;
    const standard = pg.types.getTypeParser(oid, format) as (value: string) => unknown;
    const shape = format === "binary" ? undefined : TEXT_OF[type];
    if (!shape) return standard;
    const parse = type === builtins.DATE ? (value: string) => value : standard;
    return (value) => {
      if (shape.test(value)) return parse(value);
      throw new Error(`PostgreSQL sent ${JSON.stringify(value)} where ${nameOf(type)} was to be read`);
    };
  },
};

function nameOf(type: number): string {
  if (type === builtins.DATE) return "a day";
  return TEXT_OF[type] === INTEGER ? "a whole number" : "a number";
}
