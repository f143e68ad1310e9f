// A quantity of Kubernetes in bytes: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/

/** Far above what the API server writes. A longer text is not parsed. */
const MAX_CHARS = 64
const QUANTITY = /^(\d+(?:\.\d*)?|\.\d+)(?:([munkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?$/

const UNITS: Record<string, number> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** undefined: the text is not a quantity. */
export function parseQuantity(text: unknown): number | undefined {
  if (typeof text !== 'string' && typeof text !== 'number') return undefined
  const match = QUANTITY.exec(String(text).slice(0, MAX_CHARS + 1))
  if (match === null || String(text).length > MAX_CHARS) return undefined
  const [, digits, unit = '', exponent = '0'] = match
  return Number(digits) * (UNITS[unit] ?? 1) * 10 ** Number(exponent)
}

/** Uses the largest of these units in which the number is whole. */
export function formatQuantity(bytes: number): string {
  for (const unit of ['Gi', 'Mi', 'Ki'] as const) {
    const size = UNITS[unit] ?? 1
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return String(bytes)
}
