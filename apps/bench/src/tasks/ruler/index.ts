/** The 13 tasks of RULER (arXiv 2404.06654), in its order. */
import type { Task } from "../task.ts";
import { commonWords } from "./common-words.ts";
import { frequentWords } from "./frequent-words.ts";
import { niahTasks } from "./niah.ts";
import { qaTasks } from "./qa.ts";
import { variableTracking } from "./variable-tracking.ts";

export const rulerTasks: readonly Task[] = [...niahTasks, variableTracking, commonWords, frequentWords, ...qaTasks];
