import { ConfigError, UnsupportedError } from "@infllm/tensor";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Reads named options of one object and remembers which were read, so that `refuseOthers` can refuse by name
 * whatever nobody understood. `null` counts as absent, as in Hugging Face files.
 */
export class Options {
  readonly #seen = new Set<string>();

  constructor(
    readonly values: JsonObject,
    /** What error messages call the object, e.g. `config.json`. */
    readonly where: string,
  ) {}

  /** Undefined when absent or null. */
  get(name: string): unknown {
    this.#seen.add(name);
    return Object.hasOwn(this.values, name) ? (this.values[name] ?? undefined) : undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  number(name: string, fallback?: number): number {
    const value = this.get(name) ?? fallback;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.#wrong(name, value, "a finite number");
  }

  positive(name: string, fallback?: number): number {
    const value = this.number(name, fallback);
    if (value > 0) return value;
    throw this.#wrong(name, value, "a number above 0");
  }

  /** A count: a whole number from 1 to 2^31 − 1. */
  count(name: string, fallback?: number): number {
    const value = this.number(name, fallback);
    if (Number.isInteger(value) && value >= 1 && value < 2 ** 31) return value;
    throw this.#wrong(name, value, "a whole number from 1 to 2147483647");
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.get(name) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.#wrong(name, value, "true or false");
  }

  string(name: string, fallback?: string): string {
    const value = this.get(name) ?? fallback;
    if (typeof value === "string") return value;
    throw this.#wrong(name, value, "a string");
  }

  numbers(name: string): number[] {
    const value = this.get(name);
    if (Array.isArray(value) && value.every((item) => typeof item === "number" && Number.isFinite(item))) return value;
    throw this.#wrong(name, value, "a list of finite numbers");
  }

  /** A token id or a list of them; empty when absent. */
  tokenIds(name: string): number[] {
    const value = this.get(name);
    const list: unknown[] = value === undefined ? [] : Array.isArray(value) ? value : [value];
    return list.map((id) => {
      if (typeof id === "number" && Number.isInteger(id) && id >= 0) return id;
      throw this.#wrong(name, value, "a token id or a list of token ids");
    });
  }

  object(name: string): Options | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (isJsonObject(value)) return new Options(value, `${name} of ${this.where}`);
    throw this.#wrong(name, value, "an object");
  }

  /** Refuses an option that would change the maths, unless it has one of the neutral values. */
  allowOnly(name: string, neutral: readonly unknown[]): void {
    const value = this.get(name);
    if (value === undefined || neutral.includes(value)) return;
    throw new UnsupportedError(
      `${this.where} sets ${name} to ${JSON.stringify(value)}, which is not supported; ` +
        `supported: ${neutral.map((item) => JSON.stringify(item)).join(" or ")}, or leaving it out.`,
    );
  }

  /** Options without influence on the maths. */
  ignore(names: Iterable<string>): void {
    for (const name of names) this.#seen.add(name);
  }

  /** @throws UnsupportedError naming options that nobody read and that are set to something. */
  refuseOthers(remedy: string): void {
    const unknown = Object.entries(this.values).filter(
      ([name, value]) => !this.#seen.has(name) && value !== null && value !== undefined && value !== false,
    );
    if (unknown.length === 0) return;
    const list = unknown.map(([name, value]) => `${name} (${shorten(value)})`).join(", ");
    throw new UnsupportedError(`${this.where} has options that are not understood: ${list}. ${remedy}`);
  }

  #wrong(name: string, value: unknown, allowed: string): ConfigError {
    const given = value === undefined ? "is missing" : `is ${shorten(value)}`;
    return new ConfigError(`${name} of ${this.where} ${given}; it must be ${allowed}.`);
  }
}

function shorten(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
