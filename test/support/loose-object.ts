// Objects as tests look at them and feed them: field by field, and also such as no type allows.

// biome-ignore lint/suspicious/noExplicitAny: a test may read, and write, any field of any kind
export type LooseObject = any
