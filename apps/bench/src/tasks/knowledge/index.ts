import type { Task } from "../task.ts";
import { ceval } from "./ceval.ts";
import { mmlu } from "./mmlu.ts";

/** Tests of knowledge by the likelihood of choices. */
export const knowledgeTasks: readonly Task[] = [mmlu, ceval];
