/** The 21 data sets of LongBench; prompts, answer lengths and metrics are in `data/longbench.json`. */
import datasets from "../../../data/longbench.json";
import type { Task } from "../task.ts";
import { datasetTask } from "./dataset.ts";
import type { DatasetConfig } from "./dataset.ts";

export const longbenchTasks: readonly Task[] = Object.entries(datasets).map(([name, config]) => datasetTask(name, config as DatasetConfig));
