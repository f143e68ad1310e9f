// Which labels and annotations of a volume also apply to a restored one. Excluded are keys that Kubernetes, Velero or Dormouse set on the
// object itself, and keys by which a deployer finds, and deletes, objects that are not in its sources.

/** These domains and their subdomains. */
const OWN_DOMAINS = ['kubernetes.io', 'k8s.io', 'dormouse.dev', 'velero.io']
const DEPLOYERS = ['argocd.argoproj.io', 'objectset.rio.cattle.io', 'kapp.k14s.io']
/** Users set these labels themselves, in spite of the domain. */
const APP = 'app.kubernetes.io'
/** By default, Argo CD 2.x uses this label to find the objects that it manages. It would prune a volume that is not in its sources. */
const ARGO_TRACKING = 'app.kubernetes.io/instance'
/** The kubelet gives this group to each Pod that uses the volume. */
const GROUP_ANNOTATION = 'pv.beta.kubernetes.io/gid'

const NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/
const DOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const MAX_DOMAIN_CHARS = 253
const LABEL_VALUE = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$/

export function isKeptKey(key: string): boolean {
  const [domain, name] = key.split('/')
  if (!isLabelKey(key) || name === undefined) return isLabelKey(key)
  const isOwn = OWN_DOMAINS.some((own) => domain === own || domain?.endsWith(`.${own}`))
  if (key === ARGO_TRACKING) return false
  return domain === APP || (!isOwn && !DEPLOYERS.includes(domain ?? ''))
}

/** The rule of Kubernetes for the keys of labels and annotations. */
export function isLabelKey(key: string): boolean {
  const [first = '', second, ...rest] = key.split('/')
  if (rest.length > 0 || !NAME.test(second ?? first)) return false
  return second === undefined || (first.length <= MAX_DOMAIN_CHARS && DOMAIN.test(first))
}

export function isLabelValue(text: string): boolean {
  return LABEL_VALUE.test(text)
}

export function keptAnnotation(key: string, text: string): boolean {
  return key === GROUP_ANNOTATION ? /^\d{1,10}$/.test(text) : isKeptKey(key)
}
