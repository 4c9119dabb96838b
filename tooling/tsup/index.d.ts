import type { Options } from "tsup";

export function library(options: Omit<Options, "entry"> & { entry: string[] | Record<string, string> }): Options;
