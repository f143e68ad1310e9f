import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type AwsCredentials, chooseCredentials, profileNames } from '#shared/domain/aws-credentials.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

const test = suite('AWS credentials file')

const KEYS = 'aws_access_key_id = AKID\naws_secret_access_key = s3cr3t/+='
const PAIR: AwsCredentials = { accessKeyId: 'AKID', secretAccessKey: 's3cr3t/+=' }

const read: [string, string, string, AwsCredentials][] = [
  ['the plain form', `[default]\n${KEYS}\n`, 'default', PAIR],
  [
    'no blanks and Windows lines',
    '[default]\r\naws_access_key_id=AKID\r\naws_secret_access_key=s3cr3t/+=\r\n',
    'default',
    PAIR,
  ],
  ['a byte order mark', `\uFEFF[default]\n${KEYS}`, 'default', PAIR],
  ['another profile than the first', `[default]\naws_access_key_id=other\n[backups]\n${KEYS}`, 'backups', PAIR],
  ['a header of a config file', `[profile backups]\n${KEYS}`, 'backups', PAIR],
  ['a quoted name', `[profile "my backups"]\n${KEYS}`, 'my backups', PAIR],
  ['comments', `# one\n; two\n[default] # three\n${KEYS} ; four\n`, 'default', PAIR],
  ['indented lines, as YAML leaves them', `[default]\n  ${KEYS.replace('\n', '\n  ')}\n`, 'default', PAIR],
  ['quoted values', '[default]\naws_access_key_id="AKID"\naws_secret_access_key=\'s3cr3t/+=\'', 'default', PAIR],
  ['upper case keys', '[default]\nAWS_ACCESS_KEY_ID=AKID\nAWS_SECRET_ACCESS_KEY=s3cr3t/+=', 'default', PAIR],
  [
    '# and ; inside of a value',
    '[default]\naws_access_key_id=AKID\naws_secret_access_key=a#b;c=d',
    'default',
    { ...PAIR, secretAccessKey: 'a#b;c=d' },
  ],
  [
    'a nested block',
    `[default]\n${KEYS}\ns3 =\n  max_concurrent_requests = 20\n  aws_access_key_id = not-this\n`,
    'default',
    PAIR,
  ],
  [
    'a profile in two parts',
    '[default]\naws_access_key_id=AKID\n[x]\n[default]\naws_secret_access_key=s3cr3t/+=',
    'default',
    PAIR,
  ],
  ['a session token', `[default]\n${KEYS}\naws_session_token = tok`, 'default', { ...PAIR, sessionToken: 'tok' }],
  [
    'the older name of the token',
    `[default]\n${KEYS}\naws_security_token = tok`,
    'default',
    { ...PAIR, sessionToken: 'tok' },
  ],
]

for (const [what, text, profile, wanted] of read) {
  test(`${what} is read`, () => {
    assert.equal(chooseCredentials(text, profile, 'here'), wanted)
  })
}

const refused: [string, string, string][] = [
  ['a profile that is not there', `[other]\n${KEYS}\n[third]`, 'no profile [default], only [other], [third]'],
  ['a missing key', '[default]\naws_access_key_id = AKID', 'no aws_secret_access_key'],
  ['an empty key', '[default]\naws_access_key_id =\naws_secret_access_key = s3cr3t/+=', 'no aws_access_key_id'],
  ['a role', '[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = y', 'role_arn cannot be followed'],
  ['a line without =', '[default]\ns3cr3t/+ ', 'line 2 is neither'],
  ['text before any profile', 'W2RlZmF1bHRdCg==', 'base64 once too often'],
  ['nothing at all', '\n \n', 'it is empty'],
]

for (const [what, text, words] of refused) {
  test(`${what} is refused, and no value is told`, () => {
    assert.throws(
      () => chooseCredentials(text, 'default', 'Secret velero/cloud-credentials'),
      (error: TerminalError) => {
        assert.instance(error, TerminalError)
        assert.is(error.reason, 'CredentialsInvalid')
        assert.match(error.message, words)
        assert.match(error.message, 'Secret velero/cloud-credentials')
        return !/s3cr3t|AKID|arn:/.test(error.message)
      },
    )
  })
}

test('profiles are listed in the order of the file', () => {
  assert.equal(profileNames(`[b]\n${KEYS}\n[profile a]\n[b]`, 'here'), ['b', 'a'])
})

test.run()
