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
