export * from "./reference-backend.ts";
