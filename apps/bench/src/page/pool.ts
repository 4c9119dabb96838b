/** Samples of a cell that several lines hold, as one line: runs that shared them, or one that added more. */
import { cellId, type Figures, type ResultRecord } from "../results/record.ts";
import { tasks } from "../tasks/registry.ts";
import type { Json, Scored } from "../tasks/task.ts";

/** One sample of a line, as `scoreTask` writes it. */
type Answer = { readonly [key: string]: Json } & Scored & { readonly id: string };

/** The same text for lines that differ in nothing but which samples they have. */
export function pooledId(record: ResultRecord, machine: string | undefined): string {
  const shares = ["samples", "fromSample"];
  const config = Object.fromEntries(Object.entries(record.config).filter(([name]) => !shares.includes(name)));
  return cellId({ ...record, config }, machine);
}

/**
 * `last` with the samples of all `lines`, finished ones of its `pooledId`: each sample once, as the last line that has it
 * says.
 */
export function pooled(last: ResultRecord, lines: readonly ResultRecord[]): ResultRecord {
  const task = tasks.find(({ name }) => name === last.cell["task"]);
  const answers = [...new Map(lines.flatMap(({ figures }) => answersOf(figures)).map((answer) => [answer.id, answer])).values()];
  if (lines.length < 2 || task === undefined || answers.length === 0) return last;
  return { ...last, figures: { ...last.figures, score: task.aggregate(answers), samples: answers.length, answers } };
}

function answersOf({ answers }: Figures): Answer[] {
  return Array.isArray(answers) ? answers.filter(isAnswer) : [];
}

function isAnswer(value: Json): value is Answer {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const { id, value: score, facts } = value as { readonly [key: string]: Json };
  return typeof id === "string" && typeof score === "number" && typeof facts === "object" && facts !== null && !Array.isArray(facts);
}
