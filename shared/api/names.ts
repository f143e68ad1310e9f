// Names that the API server accepts: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const DNS_LABEL = new RegExp(`^${LABEL}$`)
const DNS_SUBDOMAIN = new RegExp(`^${LABEL}(\\.${LABEL})*$`)

/** An object's name: RFC 1123 subdomain. Safe inside of a URL path. */
export function isObjectName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 253 && DNS_SUBDOMAIN.test(value)
}

/** A namespace's name: RFC 1123 label. Safe inside of a URL path. */
export function isNamespaceName(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 63 && DNS_LABEL.test(value)
}

export type NamespacedName = { namespace: string; name: string }

/** The one reader of references of the form `<namespace>/<name>`. undefined: `value` is not exactly two parts that are valid names. */
export function parseNamespacedName(value: unknown): NamespacedName | undefined {
  if (typeof value !== 'string') return undefined
  const slash = value.indexOf('/')
  const namespace = value.slice(0, Math.max(slash, 0))
  const name = value.slice(slash + 1)
  return isNamespaceName(namespace) && isObjectName(name) ? { namespace, name } : undefined
}
