// Each function has the rights that its code uses, and no dangerous ones.

import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LooseObject } from '#test/support/loose-object.ts'
import { FUNCTIONS, named, objectsIn, ofKind } from './load.ts'
import { granted, rulesOf, usedBy } from './rights.ts'

const objects = objectsIn('config/rbac')
const roles = [...ofKind(objects, 'Role'), ...ofKind(objects, 'ClusterRole')]
const rbac = suite('config/rbac')

function allRules(): {
  role: string
  rule: { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }
}[] {
  return roles.flatMap((role) => role['rules'].map((rule: object) => ({ role: role.metadata.name, rule })))
}

for (const step of FUNCTIONS) {
  rbac(`${step} may do what its code asks for`, () => {
    const may = granted(rulesOf(objects, `dormouse-${step}`))
    assert.equal([...usedBy(step)].filter((right) => !may.has(right)).sort(), [])
  })

  rbac(`${step} does not watch: it sleeps`, () => {
    assert.equal(
      [...granted(rulesOf(objects, `dormouse-${step}`))].filter((right) => right.startsWith('watch')),
      [],
    )
  })
}

rbac('nothing is granted by a wildcard', () => {
  const wild = allRules().filter(({ rule }) => [...rule.apiGroups, ...rule.resources, ...rule.verbs].includes('*'))
  assert.equal(wild, [])
})

rbac('Secrets are read one by one, by name, in the Velero namespace', () => {
  for (const { role, rule } of allRules().filter(({ rule }) => rule.resources.includes('secrets'))) {
    assert.equal(rule.verbs, ['get'], role)
    assert.ok((rule.resourceNames?.length ?? 0) > 0, role)
    named(objects, 'Role', role)
  }
})

// VDDK's settings are found by a label, which needs a list; all others are read by name only.
rbac('ConfigMaps are read in the Velero namespace only, and by name where the name is known', () => {
  for (const { role, rule } of allRules().filter(({ rule }) => rule.resources.includes('configmaps'))) {
    named(objects, 'Role', role)
    assert.equal(rule.verbs, rule.resourceNames === undefined ? ['list'] : ['get'], role)
  }
})

rbac('Leases, Uploads and Downloads are reached in the Velero namespace only', () => {
  for (const role of ofKind(objects, 'ClusterRole')) {
    const resources: string[] = role['rules'].flatMap((rule: { resources: string[] }) => rule.resources)
    for (const ours of ['leases', 'uploads', 'downloads'])
      assert.not.ok(resources.includes(ours), `${role.metadata.name}: ${ours}`)
  }
})

rbac('no account can extend its own rights', () => {
  const risky = ['escalate', 'bind', 'impersonate', 'update', 'deletecollection']
  assert.equal(
    allRules().filter(({ rule }) => rule.verbs.some((verb) => risky.includes(verb))),
    [],
  )
  const resources = allRules().flatMap(({ rule }) => rule.resources)
  assert.equal(
    resources.filter((name) => /pods|serviceaccounts|roles|rolebindings|webhook/.test(name)),
    [],
  )
})

rbac('every binding joins a role and ServiceAccounts that exist', () => {
  for (const binding of [...ofKind(objects, 'RoleBinding'), ...ofKind(objects, 'ClusterRoleBinding')]) {
    named(objects, binding['roleRef'].kind, binding['roleRef'].name)
    for (const { name } of binding['subjects'] as LooseObject['metadata'][]) named(objects, 'ServiceAccount', name)
  }
})

/** `<where> <verb> <resource.group> [<name>]` for each right that an account has by its bindings. */
function rightsOf(account: string): string[] {
  const bindings = [...ofKind(objects, 'RoleBinding'), ...ofKind(objects, 'ClusterRoleBinding')]
  const own = bindings.filter((one) => one['subjects'].some(({ name }: { name: string }) => name === account))
  return own.flatMap(({ kind, metadata, roleRef }) => {
    const where = kind === 'ClusterRoleBinding' ? 'everywhere' : `namespace ${metadata.namespace}`
    const { rules } = named(objects, roleRef.kind, roleRef.name) as unknown as { rules: Rule[] }
    return rules.flatMap((rule) => rightsIn(rule, where))
  })
}

type Rule = { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }

function rightsIn({ apiGroups, resources, verbs, resourceNames = [''] }: Rule, where: string): string[] {
  const kinds = apiGroups.flatMap((group) => resources.map((resource) => kindOf(resource.split('/'), group)))
  return kinds.flatMap((on) => verbs.flatMap((verb) => resourceNames.map((name) => `${where} ${verb} ${on} ${name}`)))
}

function kindOf([resource = '', part]: string[], group: string): string {
  return [resource, ...(group === '' ? [] : ['.', group]), ...(part === undefined ? [] : ['/', part])].join('')
}

/** The same right as the page writes it. */
function rightsToldOf(account: string): string[] {
  const page = readFileSync('docs/operations/security.md', 'utf8')
  const section = page.split(/^### /m).find((part) => part.startsWith(`\`${account}\`\n`)) ?? ''
  const words = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word ?? '')
  return section.split('\n').flatMap((line) => {
    const [, place = '', what = '', may = ''] = line.split('|').map((cell) => cell.trim())
    if (!/^everywhere|^namespace/.test(place)) return []
    const [kinds = '', names] = what.split(', only ')
    const rule = { apiGroups: [''], resources: words(kinds), verbs: may.split(', ') }
    const where = place.replaceAll('`', '')
    return rightsIn(names === undefined ? rule : { ...rule, resourceNames: words(names) }, where)
  })
}

for (const { metadata } of ofKind(objects, 'ServiceAccount')) {
  rbac(`security.md tells what ${metadata.name} may do, where, and no more`, () => {
    const told = rightsToldOf(metadata.name)
    assert.ok(told.length > 0, 'the table is found')
    assert.equal(told.sort(), rightsOf(metadata.name).sort())
  })
}

rbac.run()
