/** One number hidden in prose at stated depths: the picture of depth by length. */
import { needleTask } from "../ruler/needles.ts";
import type { Task } from "../task.ts";

export const needleTasks: readonly Task[] = [
  needleTask({
    name: "needle",
    family: "needle",
    title: "One number in prose at every depth",
    haystack: "prose",
    keys: "words",
    values: "numbers",
    count: { keys: 1, values: 1, asked: 1 },
  }),
];
