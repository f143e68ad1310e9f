// Tenants of a cluster: a namespace, a real ServiceAccount with rights on Dormouse's objects there, and its own client of the API.

import type { KubeObject } from '#shared/api/kinds.ts'
import type { Environment } from '#test/environment/environment.ts'
import { Api } from '#test/environment/kubernetes/api.ts'

export type Tenant = { namespace: string; api: Api }

/**
 * More than config/rbac/tenant.yaml gives: status, finalizers and the movers' kinds too, as a careless operator may grant them, and claims.
 * What must hold may not lean on a tenant's not being able to write a status.
 */
const HOSTILE_RULES = [
  {
    apiGroups: ['backupdriver.cnsdp.vmware.com', 'datamover.cnsdp.vmware.com'],
    resources: ['*', '*/status', '*/finalizers'],
    verbs: ['*'],
  },
  { apiGroups: [''], resources: ['persistentvolumeclaims', 'persistentvolumeclaims/status', 'pods'], verbs: ['*'] },
]

export async function aTenant(environment: Environment, namespace: string): Promise<Tenant> {
  const { api } = environment
  await environment.createNamespace(namespace)
  await api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'user', namespace } })
  await api.apply({ ...rbac('Role', namespace, 'hostile'), rules: HOSTILE_RULES })
  await api.apply(boundTo(namespace, { kind: 'Role', name: 'hostile' }))
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', namespace, name: 'user' }
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }
  const { status } = await api.createSubresource(account, 'token', request)
  return { namespace, api: new Api({ ...api.options, token: status.token }) }
}

function rbac(kind: string, namespace: string, name: string): KubeObject {
  return { apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata: { name, namespace } }
}

function boundTo(namespace: string, role: { kind: string; name: string }): KubeObject {
  return {
    ...rbac('RoleBinding', namespace, role.name),
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...role },
    subjects: [{ kind: 'ServiceAccount', name: 'user', namespace }],
  }
}
