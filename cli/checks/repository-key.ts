// Is there a key for the repositories, and a recovery key that opens them when that key is lost?

import type { Condition } from '#shared/api/kinds.ts'
import type { BackupRepository, Secret } from '#shared/api/types.ts'
import { parseRepositoryKey, requireOneRecovery } from '#shared/domain/repository-secrets.ts'
import { type Finding, note, ok, problemOf, warning } from '../finding.ts'

type RepositoryKeyDeps = {
  /** Names of the Secrets that the locations and repositories use. */
  secretNames: readonly string[]
  readSecret: (name: string) => Promise<Secret | undefined>
  listRepositories: () => Promise<BackupRepository[]>
}

const ADD_RECOVERY = 'add recovery-public-key or recovery-passphrase to the Secret, and keep the recovery key elsewhere'

export async function checkRepositoryKeys(deps: RepositoryKeyDeps): Promise<Finding[]> {
  const secrets = await Promise.all(deps.secretNames.map((name) => checkSecret(deps, name)))
  return [...secrets, ...(await checkConditions(deps))]
}

async function checkSecret(deps: RepositoryKeyDeps, name: string): Promise<Finding> {
  try {
    const key = parseRepositoryKey(await deps.readSecret(name), name)
    requireOneRecovery(key, name)
    const { recovery } = key
    if (recovery !== undefined)
      return ok('key', name, `the Secret holds a password and a recovery ${recoveryWord(recovery.kind)}`)
    return warning(
      'key',
      name,
      'the Secret holds a password and nothing for recovery: lose it and all backups are lost',
      ADD_RECOVERY,
    )
  } catch (error) {
    return problemOf('key', name, error)
  }
}

/** The conditions of the repositories: the Secret may have received its recovery key after they were made. */
async function checkConditions(deps: RepositoryKeyDeps): Promise<Finding[]> {
  try {
    const repositories = await deps.listRepositories()
    if (repositories.length === 0) return [note('repositories', '', 'there is none yet: the first backup asks for one')]
    return repositories.flatMap((repository) => findingsOf(repository))
  } catch (error) {
    return [problemOf('repositories', '', error)]
  }
}

function findingsOf(repository: BackupRepository): Finding[] {
  const { name } = repository.metadata
  const conditions: Condition[] = repository.status?.conditions ?? []
  const find = (type: string) => conditions.find((condition) => condition.type === type)
  const ready = find('Ready')
  if (ready === undefined) return [note('repositories', name, 'nothing is known of it yet')]
  const found: Finding[] = []
  if (ready.status === 'True') found.push(ok('repositories', name, ready.message))
  else found.push({ check: 'repositories', subject: name, level: 'problem', text: ready.message, reason: ready.reason })
  for (const type of ['RecoveryKeyMissing', 'KeySlotDamaged', 'PlaintextCredentials']) {
    const condition = find(type)
    if (condition?.status === 'True') {
      found.push({
        check: 'repositories',
        subject: name,
        level: 'warning',
        text: condition.message,
        reason: condition.reason,
      })
    }
  }
  return found
}

function recoveryWord(kind: 'passphrase' | 'publicKey'): string {
  return kind === 'passphrase' ? 'passphrase' : 'public key'
}
