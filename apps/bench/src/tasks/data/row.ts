import { FormatError } from "@infllm/tensor";

/** One JSON object of a data file, whose fields are checked when read. */
export class Row {
  readonly #fields: Readonly<Record<string, unknown>>;
  /** `file.jsonl, line 3`, the start of every message. */
  readonly where: string;

  /** @throws FormatError when `value` is no object */
  constructor(value: unknown, where: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new FormatError(`${where} holds ${describe(value)}; expected an object with named fields, such as {"question": "…"}.`);
    }
    this.#fields = value as Record<string, unknown>;
    this.where = where;
  }

  has(field: string): boolean {
    return this.#fields[field] !== undefined && this.#fields[field] !== null;
  }

  text(field: string): string {
    const value = this.#fields[field];
    return typeof value === "string" ? value : this.#refuse(field, "a string");
  }

  /** A string, or a number as one. */
  textOrNumber(field: string): string {
    const value = this.#fields[field];
    return typeof value === "number" ? String(value) : typeof value === "string" ? value : this.#refuse(field, "a string or a number");
  }

  optionalText(field: string): string | undefined {
    return this.has(field) ? this.text(field) : undefined;
  }

  number(field: string): number {
    const value = this.#fields[field];
    return typeof value === "number" && Number.isFinite(value) ? value : this.#refuse(field, "a number");
  }

  boolean(field: string, missing?: boolean): boolean {
    const value = this.#fields[field];
    if (value === undefined && missing !== undefined) return missing;
    return typeof value === "boolean" ? value : this.#refuse(field, "true or false");
  }

  /** @param least smallest number of items */
  texts(field: string, least = 0): string[] {
    const value = this.#fields[field];
    const fits = Array.isArray(value) && value.length >= least && value.every((item) => typeof item === "string");
    return fits ? (value as string[]) : this.#refuse(field, `a list of strings${least > 0 ? `, ${least} or more` : ""}`);
  }

  /** An object within. */
  row(field: string): Row {
    const value = this.#fields[field];
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? new Row(value, `${this.where}, ${field}`) : this.#refuse(field, "an object");
  }

  /** The objects of a list. */
  rows(field: string): Row[] {
    const value = this.#fields[field];
    if (!Array.isArray(value)) return this.#refuse(field, "a list of objects");
    return value.map((item, index) => new Row(item, `${this.where}, ${field}[${index}]`));
  }

  /** Any value as it is. @throws FormatError when absent */
  value(field: string): unknown {
    return this.has(field) ? this.#fields[field] : this.#refuse(field, "a value");
  }

  #refuse(field: string, expected: string): never {
    const value = this.#fields[field];
    const given = value === undefined ? `has no field "${field}"` : `has ${describe(value)} in the field "${field}"`;
    const others = value === undefined ? ` Its fields are ${Object.keys(this.#fields).join(", ") || "none"}.` : "";
    throw new FormatError(`${this.where} ${given}; expected ${expected}.${others}`);
  }
}

/** Objects of JSON Lines; empty lines are skipped. @throws FormatError (file and line) */
export function parseJsonLines(text: string, path: string): Row[] {
  const rows = text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .flatMap((line, index) => (line.trim() === "" ? [] : [new Row(parseLine(line, `${path}, line ${index + 1}`), `${path}, line ${index + 1}`)]));
  if (rows.length === 0) throw new FormatError(`${path} is empty; expected one JSON object a line.`);
  return rows;
}

/** A JSON document. @throws FormatError */
export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${path} is no JSON: ${reason(error)}.`, { cause: error });
  }
}

function parseLine(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new FormatError(`${where} is no JSON: ${reason(error)}. Each line must hold one JSON object.`, { cause: error });
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  const text = JSON.stringify(value) ?? String(value);
  return typeof value === "object" ? "an object" : text.length > 40 ? `${text.slice(0, 37)}…` : text;
}
