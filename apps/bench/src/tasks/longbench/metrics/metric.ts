/** How well an output answers a row of LongBench: 0 to 1, against one of its answers. */
export type Metric = (output: string, answer: string, classes: readonly string[]) => number | Promise<number>;
