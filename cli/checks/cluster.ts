// Is the cluster reachable, and does it serve what Dormouse needs: its own kinds, Knative, Velero?

import { KINDS } from '#shared/api/kinds.ts'
import { type Finding, ok, problem, problemOf, warning } from '../finding.ts'

type ClusterDeps = {
  /** GET of the API server; rejects when there is no answer. */
  get: (path: string) => Promise<{ status: number; body: unknown }>
}

const OWN_GROUPS = ['backupdriver.cnsdp.vmware.com/v1alpha1', 'datamover.cnsdp.vmware.com/v1alpha1']
const KNATIVE = [
  { group: 'serving.knative.dev/v1', name: 'Knative Serving' },
  { group: 'eventing.knative.dev/v1', name: 'Knative Eventing' },
  { group: 'sources.knative.dev/v1', name: 'Knative Eventing (sources)' },
]

export async function checkCluster(deps: ClusterDeps): Promise<Finding[]> {
  try {
    const version = await deps.get('/version')
    if (version.status !== 200) return [refused(version.status)]
    const { gitVersion = 'of an unknown version' } = version.body as { gitVersion?: string }
    const parts = [
      ...OWN_GROUPS.map((group) => checkKinds(deps, group)),
      ...KNATIVE.map((each) => checkKnative(deps, each)),
    ]
    const found = await Promise.all([...parts, checkVelero(deps)])
    return [ok('cluster', '', `Kubernetes ${gitVersion} answers`), ...found]
  } catch (error) {
    return [problemOf('cluster', '', error)]
  }
}

function refused(status: number): Finding {
  const fix = 'log in, or name another kubeconfig with --kubeconfig'
  return problem('cluster', '', `the API server answers with HTTP ${status}`, fix)
}

async function checkKinds(deps: ClusterDeps, group: string): Promise<Finding> {
  const wanted = Object.values(KINDS).filter(({ apiVersion }) => apiVersion === group)
  const served = await resourcesOf(deps, group)
  const missing = wanted.filter(({ plural }) => !served.includes(plural)).map(({ plural }) => plural)
  if (missing.length === 0) return ok('crds', group, `all ${wanted.length} kinds are served`)
  return problem('crds', group, `not served: ${missing.join(', ')}`, 'kubectl apply -k config/crd')
}

async function checkKnative(deps: ClusterDeps, { group, name }: { group: string; name: string }): Promise<Finding> {
  if ((await resourcesOf(deps, group)).length > 0) return ok('knative', group, `${name} is installed`)
  return problem('knative', group, `${name} is not installed`, 'install it as docs/operations/install.md says')
}

async function checkVelero(deps: ClusterDeps): Promise<Finding> {
  const group = 'velero.io/v1'
  if ((await resourcesOf(deps, group)).includes('backupstoragelocations'))
    return ok('velero', group, 'Velero is installed')
  const fix = 'install Velero, or make BackupRepositoryClaims and Snapshots by yourself'
  return warning('velero', group, 'Velero is not installed', fix)
}

/** Discovery needs no rights beyond a login. [] when the group is not served. */
async function resourcesOf(deps: ClusterDeps, group: string): Promise<string[]> {
  const { status, body } = await deps.get(`/apis/${group}`)
  if (status === 404) return []
  if (status !== 200) throw new Error(`the API server answers HTTP ${status} to a question about ${group}`)
  return ((body as { resources?: { name: string }[] }).resources ?? []).map(({ name }) => name)
}
