// Makes the compiler prove that a switch covers every case.

export function unreachable(value: never): never {
  throw new Error(`unreachable case: ${JSON.stringify(value)}`)
}
