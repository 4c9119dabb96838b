/** Timing: interleaved, so that a disturbance hits all that is compared, and reported as median and quartiles. */

export interface Sample {
  /** Seconds of one run. */
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export interface Plan {
  readonly rounds: number;
  /** Runs that make one timing; 1 when absent. */
  readonly repeat?: number;
  /** Seconds that each task runs untimed first: engines compile hot code better after a while. 0 when absent. */
  readonly warmUp?: number;
}

/** Times each task `rounds` times in turn, after one untimed round. */
export function measure<Name extends string>(
  tasks: Readonly<Record<Name, () => void>>,
  { rounds, repeat = 1, warmUp = 0 }: Plan,
): Record<Name, Sample> {
  const names = Object.keys(tasks) as Name[];
  for (const name of names) {
    for (const end = performance.now() + warmUp * 1000; performance.now() < end; ) tasks[name]();
  }
  const times = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const start = performance.now();
      for (let i = 0; i < repeat; i++) tasks[name]();
      if (round > 0) times.get(name)?.push((performance.now() - start) / 1000 / repeat);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summary(times.get(name) ?? [])])) as Record<Name, Sample>;
}

/** The same for work that a device finishes later: `sync` waits for it, and its wait is part of every timing. */
export async function measureAsync<Name extends string>(
  tasks: Readonly<Record<Name, () => void>>,
  sync: () => Promise<void>,
  { rounds, repeat = 1 }: Omit<Plan, "warmUp">,
  afterRound: (round: number) => void | Promise<void> = () => {},
): Promise<Record<Name, Sample>> {
  const names = Object.keys(tasks) as Name[];
  const times = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const start = performance.now();
      for (let i = 0; i < repeat; i++) tasks[name]();
      await sync();
      if (round > 0) times.get(name)?.push((performance.now() - start) / 1000 / repeat);
    }
    await afterRound(round);
  }
  return Object.fromEntries(names.map((name) => [name, summary(times.get(name) ?? [])])) as Record<Name, Sample>;
}

/** Median and quartiles. */
export function summary(values: readonly number[]): Sample {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}
