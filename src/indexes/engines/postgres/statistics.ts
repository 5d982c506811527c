/** Statistics of expressions: the planner has none before an ANALYZE that follows the build of their index. */
import { tableOf } from "./ddl.ts";
import type { IndexSession } from "./session.ts";

/**
 * Analyzes the table of an index, or those of its partitions, whose expressions have no statistics yet; nothing for an
 * index without expressions. An earlier process may have died between the build and its ANALYZE.
 * @param onProgress is told before each ANALYZE
 */
export async function analyzeExpressions(
  session: IndexSession,
  target: string,
  name: string,
  onProgress: (line: string) => void,
): Promise<void> {
  const { schema } = tableOf(target);
  const tables = await session.query<{ quoted: string }>(WITHOUT_STATISTICS, [schema, name]);
  for (const { quoted } of tables) {
    onProgress(`postgres ${target} ${name}: ANALYZE ${quoted}, since the index's expressions have no statistics yet`);
    await session.runWatched(`${target} (analyze)`, `ANALYZE ${quoted}`);
  }
}

/** pg_stats shows its owner, who alone can build an index, everything. An empty table has no statistics to collect. */
const WITHOUT_STATISTICS = `
  SELECT DISTINCT format('%I.%I', tn.nspname, t.relname) AS quoted
    FROM pg_class top JOIN pg_namespace n ON n.oid = top.relnamespace
   CROSS JOIN LATERAL (SELECT relid FROM pg_partition_tree(top.oid) WHERE isleaf UNION SELECT top.oid) AS part(relid)
    JOIN pg_index i ON i.indexrelid = part.relid JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
    JOIN pg_namespace cn ON cn.oid = c.relnamespace
    JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
   WHERE n.nspname = $1 AND top.relname = $2 AND i.indexprs IS NOT NULL AND pg_relation_size(t.oid) > 0
     AND NOT EXISTS (SELECT FROM pg_stats s WHERE s.schemaname = cn.nspname AND s.tablename = c.relname)
   ORDER BY 1`;
