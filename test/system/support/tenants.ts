// Tenants of a cluster: a namespace, a real ServiceAccount with rights on Dormouse's objects there, and its own client of the API.

import path from 'node:path'
import { KINDS, type SteppedKind } from '#shared/api/kinds.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import type { Environment } from '#test/environment/environment.ts'
import { Api, refOf } from '#test/environment/kubernetes/api.ts'
import { loadManifests } from '#test/environment/kubernetes/manifests.ts'
import { VELERO_NAMESPACE } from '#test/environment/options.ts'
import { PROJECT } from '#test/environment/process/tools.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

export type Tenant = { namespace: string; api: Api }

const OURS = ['backupdriver.cnsdp.vmware.com', 'datamover.cnsdp.vmware.com']
const ALL_OF_OURS = { apiGroups: OURS, resources: ['*', '*/status', '*/finalizers'], verbs: ['*'] }

/**
 * More than config/samples/tenant.yaml grants: status, finalizers, the movers' kinds and claims, as a careless operator may grant them.
 * Security must not depend on tenants being unable to write a status.
 */
const HOSTILE_RULES = [
  ALL_OF_OURS,
  { apiGroups: [''], resources: ['persistentvolumeclaims', 'persistentvolumeclaims/status', 'pods'], verbs: ['*'] },
]

export async function aTenant(environment: Environment, namespace: string): Promise<Tenant> {
  const role = { ...rbac('Role', 'hostile', namespace), rules: HOSTILE_RULES }
  return await anAccount(environment, namespace, 'user', [role, boundTo(role, namespace, 'user')])
}

/** Has the sample role and nothing else. */
export async function aPlainTenant(environment: Environment, namespace: string): Promise<Tenant> {
  const sample = path.join(PROJECT, 'config/samples/tenant.yaml')
  const [role] = await loadManifests(sample, environment.parts.kubectlProgram)
  return await anAccount(environment, namespace, 'plain', [role!, boundTo(role!, namespace, 'plain')])
}

/** May do everything with Dormouse's objects in the Velero namespace, and with cluster-scoped ones. */
export async function anOperator(environment: Environment): Promise<Tenant> {
  const namespace = VELERO_NAMESPACE
  const role = { ...rbac('Role', 'operator', namespace), rules: [ALL_OF_OURS] }
  const repositories = { apiGroups: OURS, resources: ['backuprepositories'], verbs: ['*'] }
  const clusterRole = { ...rbac('ClusterRole', 'operator'), rules: [repositories] }
  const bindings = [boundTo(role, namespace, 'operator'), boundEverywhere(clusterRole, namespace, 'operator')]
  return await anAccount(environment, namespace, 'operator', [role, clusterRole, ...bindings])
}

/** Makes an object with a forged status: no function handles it until the status is written; then it becomes due. */
export async function plant(api: Api, { object, status }: { object: LooseObject; status?: object }): Promise<void> {
  if (status === undefined) return void (await api.create(object))
  const labels = { [STEP_LABEL]: 'done' }
  await api.create({ ...object, metadata: { ...object.metadata, labels } })
  await api.patch(refOf(object), { status }, 'status')
  const step = KINDS[object.kind as SteppedKind].step
  await api.patch(refOf(object), { metadata: { labels: { [STEP_LABEL]: step } } })
}

async function anAccount(
  environment: Environment,
  namespace: string,
  name: string,
  rights: LooseObject[],
): Promise<Tenant> {
  const { api } = environment
  if (namespace !== VELERO_NAMESPACE) await environment.createNamespace(namespace)
  const account = { apiVersion: 'v1', kind: 'ServiceAccount' }
  await api.apply({ ...account, metadata: { name, namespace } })
  for (const object of rights) await api.apply(object)
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }
  const { status } = await api.createSubresource({ ...account, namespace, name }, 'token', request)
  return { namespace, api: new Api({ ...api.options, token: status.token }) }
}

function rbac(kind: string, name: string, namespace?: string): LooseObject {
  const metadata = namespace === undefined ? { name } : { name, namespace }
  return { apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata }
}

function boundTo(role: LooseObject, namespace: string, account: string): LooseObject {
  return { ...rbac('RoleBinding', role.metadata.name, namespace), ...binding(role, namespace, account) }
}

function boundEverywhere(role: LooseObject, namespace: string, account: string): LooseObject {
  return { ...rbac('ClusterRoleBinding', role.metadata.name), ...binding(role, namespace, account) }
}

function binding({ kind, metadata }: LooseObject, namespace: string, account: string) {
  return {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: metadata.name },
    subjects: [{ kind: 'ServiceAccount', name: account, namespace }],
  }
}
