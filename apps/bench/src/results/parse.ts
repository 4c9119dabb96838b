/** Reads JSON lines back, and says where one is wrong. */
import { FormatError } from "@infllm/tensor";
import { SCHEMA, type ResultRecord } from "./record.ts";

/** One field of a line: what it must be, and the test. */
type Check = readonly [name: keyof ResultRecord, what: string, holds: (value: unknown) => boolean];

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): boolean => typeof value === "string";
const isNumber = (value: unknown): boolean => typeof value === "number";

const checks: readonly Check[] = [
  ["schema", `the number ${SCHEMA}; other lines come from another version of infllm-bench`, (value) => value === SCHEMA],
  ["suite", "a text", isText],
  ["cell", "an object", isObject],
  ["config", "an object", isObject],
  ["seed", "a number", isNumber],
  ["environment", "an object", isObject],
  ["commit", "a text", isText],
  ["status", '"done" or "failed"', (value) => value === "done" || value === "failed"],
  ["figures", "an object", isObject],
  ["seconds", "a number", isNumber],
  ["finishedAt", "a text", isText],
];

/**
 * The complete lines of a results file. A last line without its end was cut short and does not count.
 * @throws FormatError naming file, line and field
 */
export function parseRecords(file: string, text: string): ResultRecord[] {
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  return lines.flatMap((line, index) => (line.trim() === "" ? [] : [parseRecord(file, index + 1, line)]));
}

function parseRecord(file: string, line: number, text: string): ResultRecord {
  const where = `${file}, line ${line}`;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`${where} is not JSON (${reason}). Remove the line, or the file to measure again.`, { cause: error });
  }
  if (!isObject(value)) throw new FormatError(`${where} is no object. Remove the line, or the file to measure again.`);
  const fields = value as Partial<Record<keyof ResultRecord, unknown>>;
  for (const [name, what, holds] of checks) {
    if (!holds(fields[name])) {
      const given = JSON.stringify(fields[name])?.slice(0, 60) ?? "missing";
      throw new FormatError(`${where}: "${name}" is ${given}; it must be ${what}.`);
    }
  }
  return value as ResultRecord;
}
