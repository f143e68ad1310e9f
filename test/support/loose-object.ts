// Objects without a fixed type: tests read and set any field, also values that no type allows.

// biome-ignore lint/suspicious/noExplicitAny: a test may read, and write, any field of any kind
export type LooseObject = any
