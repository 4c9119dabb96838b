/** Options of methods: defaults filled in, checked, unknown ones refused. */
import { ConfigError } from "@infllm/tensor";

/** What one option may be. */
export interface OptionRule {
  readonly byDefault: unknown;
  /** Says what is allowed: "a whole number from 1". */
  readonly allowed: string;
  accepts(value: unknown): boolean;
}

export type OptionRules<Options> = { readonly [Name in keyof Options]-?: OptionRule & { readonly byDefault: Options[Name] } };

/** A whole number from `least` on. */
export function count(byDefault: number, least = 1) {
  const accepts = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= least;
  return { byDefault, allowed: `a whole number from ${least}`, accepts };
}

/** A number above `limit`. */
export function above(byDefault: number, limit: number) {
  const accepts = (value: unknown): boolean => Number.isFinite(value) && (value as number) > limit;
  return { byDefault, allowed: `a number above ${limit}`, accepts };
}

/** @throws ConfigError naming the method, the option, what was given and what is allowed */
export function methodOptions<Options extends object>(
  method: string,
  given: { readonly [Name in keyof Options]?: Options[Name] | undefined },
  rules: OptionRules<Options>,
): Options {
  const known = Object.entries<OptionRule>(rules);
  for (const name of Object.keys(given)) {
    if (known.some(([rule]) => rule === name)) continue;
    const list = known.length === 0 ? "it has none" : `it has ${known.map(([rule]) => rule).join(", ")}`;
    throw new ConfigError(`Method ${method}: unknown option "${name}"; ${list}.`);
  }
  const values = known.map(([name, rule]) => {
    const value: unknown = given[name as keyof Options] ?? rule.byDefault;
    if (rule.accepts(value)) return [name, value];
    throw new ConfigError(`Method ${method}: ${name} is ${JSON.stringify(value) ?? String(value)}; it must be ${rule.allowed}.`);
  });
  return Object.fromEntries(values) as Options;
}
