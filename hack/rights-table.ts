// Writes the tables of docs/operations/security.md with the rights of each ServiceAccount: config/rbac is the source, the page follows.
// Usage: node hack/rights-table.ts [--check]; with --check nothing is written, and a difference is an error.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Document, isMap, isPair, isScalar, parseAllDocuments, visit, type YAMLMap, YAMLSeq } from 'yaml'

const SOURCE = 'config/rbac'
const TARGET = 'docs/operations/security.md'
const BEGIN = '<!-- From config/rbac by `make generate`: do not edit. -->'
const END = '<!-- End of what `make generate` writes. -->'

type Ref = { kind: string; name: string; namespace?: string }
type Rule = { apiGroups: string[]; resources: string[]; verbs: string[]; resourceNames?: string[] }
type RbacObject = {
  kind: string
  metadata: { name: string; namespace?: string }
  rules?: Rule[]
  roleRef?: Ref
  subjects?: Ref[]
}
/** `about`: the comment at the head of the file. `why`: for each rule its comments, else undefined. */
type Read = RbacObject & { about: string; why: (string | undefined)[] }

const sentence = (comment: string | null | undefined) => (comment ?? '').replaceAll(/\s*\n\s*/g, ' ').trim()

function readAll(): Read[] {
  const files = readdirSync(SOURCE).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
  return files.sort().flatMap((file) => {
    const text = readFileSync(join(SOURCE, file), 'utf8')
    const about = /^(?:#.*\n)*/.exec(text)?.[0].replaceAll(/^# ?/gm, '').replaceAll('\n', ' ').trim() ?? ''
    const documents = parseAllDocuments(text) as Document[]
    return documents.map((document) => ({ ...(document.toJS() as RbacObject), about, why: whyOf(document) }))
  })
}

function whyOf(document: Document): (string | undefined)[] {
  const rules = document.get('rules')
  if (!(rules instanceof YAMLSeq)) return []
  // The YAML parser attaches the comment before the first rule to the list.
  return rules.items.map((rule, index) => {
    const own = isMap(rule) ? commentsIn(rule) : []
    return [...(index === 0 ? [sentence(rules.commentBefore)] : []), ...own].find((text) => text !== '')
  })
}

function commentsIn(rule: YAMLMap): string[] {
  const found = [sentence(rule.commentBefore)]
  visit(rule, {
    Node: (_key, node) => void found.push(sentence(node.commentBefore)),
    Pair: (_key, pair) => void (isPair(pair) && isScalar(pair.key) && found.push(sentence(pair.key.commentBefore))),
  })
  return found
}

const code = (words: readonly string[]) => words.map((word) => `\`${word}\``).join(', ')

/** In kubectl's form: `snapshots.backupdriver.cnsdp.vmware.com/status`. */
function resourceName(resource: string, group: string): string {
  return group === '' ? resource : resource.replace(/(?=\/|$)/, `.${group}`)
}

function rowOf(rule: Rule, where: string, why: string): string {
  const on = rule.resources.flatMap((resource) => rule.apiGroups.map((group) => resourceName(resource, group)))
  const names = rule.resourceNames === undefined ? '' : `, only ${code(rule.resourceNames)}`
  return `| ${where} | ${code(on)}${names} | ${rule.verbs.join(', ')} | ${why}${why && ' '}|`
}

function rowsOf(binding: Read, objects: readonly Read[]): string[] {
  const { kind, name } = binding.roleRef ?? { kind: '', name: '' }
  const role = objects.find((object) => object.kind === kind && object.metadata.name === name)
  if (role === undefined) throw new Error(`${binding.metadata.name} is bound to ${kind} ${name}, which is not there`)
  // A ClusterRole that a RoleBinding grants applies only in the binding's namespace.
  const where = binding.kind === 'ClusterRoleBinding' ? 'everywhere' : `namespace \`${binding.metadata.namespace}\``
  return (role.rules ?? []).map((rule, index) => rowOf(rule, where, role.why[index] ?? ''))
}

function sectionOf({ metadata, about }: Read, objects: readonly Read[]): string {
  const isSubject = ({ subjects = [] }: Read) => subjects.some(({ name }) => name === metadata.name)
  const rows = objects.filter(isSubject).flatMap((binding) => rowsOf(binding, objects))
  const all = rows.filter((row) => row.startsWith('| everywhere'))
  const inNamespace = rows.filter((row) => !row.startsWith('| everywhere'))
  const head = '| Where | On | May | Why |\n|---|---|---|---|'
  return `### \`${metadata.name}\`\n\n${about}\n\n${[head, ...all, ...inNamespace].join('\n')}\n`
}

function wanted(page: string): string {
  const [before, rest] = page.split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error(`${TARGET} has no place for the tables: ${BEGIN}`)
  const objects = readAll()
  const sections = objects.filter(({ kind }) => kind === 'ServiceAccount').map((each) => sectionOf(each, objects))
  return `${before}${BEGIN}\n\n${sections.join('\n')}\n${END}${after}`
}

const page = readFileSync(TARGET, 'utf8')
const text = wanted(page)
if (text === page) console.log(`${TARGET}: nothing changed`)
else if (process.argv.includes('--check')) {
  console.log(`${TARGET} does not follow from ${SOURCE}; run: make generate`)
  process.exitCode = 1
} else {
  writeFileSync(TARGET, text)
  console.log(`changed: ${TARGET}`)
}
