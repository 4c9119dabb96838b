/** Options that several commands share, and the checks of their values. */
import { cacheDTypes } from "@infllm/tensor";
import { InvalidArgumentError, Option } from "commander";
import { backendNames } from "./backends.ts";

interface Range {
  readonly min: number;
  readonly max: number;
}

/** Parses a whole number in `[min, max]`. */
export function integer({ min, max }: Range): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`Allowed: a whole number ${span(min, max)}.`);
    return value;
  };
}

/** Parses a number in `[min, max]`. */
export function decimal({ min, max }: Range): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`Allowed: a number ${span(min, max)}.`);
    return value;
  };
}

/** Parses `4096,32768` into whole numbers in `[min, max]`. */
export function integerList(range: Range): (text: string) => number[] {
  const one = integer(range);
  return (text) => text.split(",").map(one);
}

function span(min: number, max: number): string {
  return Number.isFinite(max) && max < Number.MAX_SAFE_INTEGER ? `from ${min} to ${max}` : `of at least ${min}`;
}

export const largestLength = 2 ** 31 - 1;

export function backendOption(): Option {
  return new Option("--backend <name>", "where to compute; auto takes a GPU where one works, and `infllm devices` lists what this machine can use")
    .choices(backendNames)
    .default("cpu");
}

export function threadsOption(): Option {
  return new Option("--threads <count>", "threads of the cpu backend (default: one per core)").argParser(
    integer({ min: 1, max: 256 }),
  );
}

export function kvCacheOption(): Option {
  return new Option(
    "--kv-cache <type>",
    "how keys and values are kept (default: the backend's choice); q8 takes little more than half of 16 bits, at a small loss of quality",
  ).choices(cacheDTypes);
}

export function jsonOption(): Option {
  return new Option("--json", "print one JSON document and nothing else");
}

export function modelOption(): Option {
  return new Option("--model <name>", "a folder, a .gguf file, hf:org/name[@revision], or embedded").default("embedded");
}
