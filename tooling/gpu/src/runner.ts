/**
 * Stands in for vitest where it is not: on a GPU machine, which has no packages, and in a page. Runs the conformance suite's cases one after the other.
 * It has what the suite uses and nothing more; anything else fails to bundle or throws.
 */
type Body = () => unknown;
interface Case {
  readonly name: string;
  readonly body: Body | undefined;
}

export interface Outcome {
  readonly name: string;
  readonly error?: string;
  readonly skipped?: boolean;
  readonly milliseconds: number;
}

const cases: Case[] = [];
const after: Body[] = [];
const path: string[] = [];

export function describe(name: string, register: () => void): void {
  path.push(name);
  register();
  path.pop();
}

export function test(name: string, body: Body): void {
  cases.push({ name: [...path, name].join(" > "), body });
}
test.skip = (name: string): void => {
  cases.push({ name: [...path, name].join(" > "), body: undefined });
};
export const it = test;

export function afterAll(body: Body): void {
  after.push(body);
}

export interface Run {
  report(outcome: Outcome): void;
  /** Ends the run after a case, as a lost device must. */
  stop(): boolean;
  /** Is this case, by its number and name, part of the run? */
  wants(index: number, name: string): boolean;
}

/** Names of the cases registered so far, in order. */
export function registered(): string[] {
  return cases.map(({ name }) => name);
}

/** Runs what was registered, and forgets it. */
export async function runCases({ report, stop, wants }: Run): Promise<void> {
  const [todo, ends] = [cases.splice(0).filter(({ name }, index) => wants(index, name)), after.splice(0)];
  for (const { name, body } of todo) {
    const start = performance.now();
    const done = (rest: Partial<Outcome>): void => report({ name, milliseconds: performance.now() - start, ...rest });
    if (body === undefined || stop()) {
      done(body === undefined ? { skipped: true } : { error: "not run: the device was lost" });
      continue;
    }
    try {
      await body();
      done({});
    } catch (error) {
      done({ error: error instanceof Error ? error.message : String(error) });
    }
  }
  for (const end of ends) await end();
}

function assert(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

type Thrown = string | (abstract new (...args: never[]) => Error) | undefined;

function fits(error: unknown, expected: Thrown): boolean {
  if (expected === undefined) return true;
  if (typeof expected === "string") return error instanceof Error && error.message.includes(expected);
  return error instanceof expected;
}

async function rejection(value: unknown): Promise<unknown> {
  try {
    await (typeof value === "function" ? (value as Body)() : value);
  } catch (error) {
    return error;
  }
  throw new Error("expected a rejection");
}

export function expect(value: unknown, message = "") {
  const show = (expected: unknown, how: string): string => `${message} expected ${format(value)} ${how} ${format(expected)}`;
  return {
    toBe: (expected: unknown) => assert(Object.is(value, expected), show(expected, "to be")),
    toEqual: (expected: unknown) => assert(isSame(value, expected), show(expected, "to equal")),
    toBeLessThan: (limit: number) => assert((value as number) < limit, show(limit, "to be less than")),
    toBeLessThanOrEqual: (limit: number) => assert((value as number) <= limit, show(limit, "to be at most")),
    toBeGreaterThan: (limit: number) => assert((value as number) > limit, show(limit, "to be more than")),
    toBeGreaterThanOrEqual: (limit: number) => assert((value as number) >= limit, show(limit, "to be at least")),
    toBeInstanceOf: (expected: abstract new (...args: never[]) => unknown) => assert(value instanceof expected, show(expected.name, "to be a")),
    toThrow(expected?: Thrown) {
      let thrown: { error: unknown } | undefined;
      try {
        (value as Body)();
      } catch (error) {
        thrown = { error };
      }
      assert(thrown !== undefined, `${message} expected an error, and none was thrown`);
      assert(fits(thrown?.error, expected), `${message} expected another error than ${String(thrown?.error)}`);
    },
    rejects: {
      async toThrow(expected?: Thrown) {
        const error = await rejection(value);
        assert(fits(error, expected), `${message} expected another error than ${String(error)}`);
      },
    },
  };
}

type Indexed = Readonly<Record<string, unknown>>;

/** Deep equality of plain objects, arrays and typed arrays: all that the suite compares. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (!Array.isArray(a) && !ArrayBuffer.isView(a) && Object.getPrototypeOf(a) !== Object.prototype) {
    throw new TypeError(`toEqual does not compare a ${a.constructor.name} here.`);
  }
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isSame((a as Indexed)[name], (b as Indexed)[name]));
}

function format(value: unknown): string {
  return typeof value === "function" ? value.name : JSON.stringify(value)?.slice(0, 200) ?? String(value);
}
