/** A JSON Schema (draft 2020-12) of one value, as operators write it and clients read it. */
export type JsonSchema = Readonly<Record<string, unknown>>;
