/** Functions of one argument by the names that follow a backslash or stand alone in plain text. */
export const FUNCTION_WORDS: ReadonlySet<string> = new Set(
  (
    'sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot arcsec arccsc arsinh arcosh artanh ' +
    'ln log exp max min gcd lcm abs floor ceil sgn Re Im arg conj sqrt cbrt'
  ).split(' '),
)

const GREEK =
  'alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega ' +
  'Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar nabla partial imath jmath'

/** Commands that stand for a named quantity. */
export const SYMBOL_COMMANDS: ReadonlySet<string> = new Set(GREEK.split(' '))

const OTHER_COMMANDS =
  'frac dfrac tfrac cfrac sqrt pi text mathrm mathbf mathbb mathit mathcal operatorname textbf left right begin end ' +
  'boxed fbox cdot times div pm mp le leq ge geq ne neq lt gt approx equiv infty cup cap in notin setminus emptyset ' +
  'varnothing circ degree degrees overline bar hat vec dot angle triangle binom dbinom choose pmod mod sum prod int lim ' +
  'langle rangle lfloor rfloor lceil rceil quad qquad displaystyle mbox dots ldots cdots to rightarrow Rightarrow ' +
  'lvert rvert mid vert parallel perp ast'

const KNOWN_COMMANDS: ReadonlySet<string> = new Set([
  ...FUNCTION_WORDS,
  ...SYMBOL_COMMANDS,
  ...OTHER_COMMANDS.split(' '),
])

export const isKnownCommand = (name: string): boolean => KNOWN_COMMANDS.has(name)

/** A unit of measure: `size` in the base unit of its `dimension`. */
export interface Unit {
  readonly dimension: string
  readonly size: readonly [number, number]
}

const units = new Map<string, Unit>()

function define(dimension: string, table: Readonly<Record<string, string | readonly [number, number]>>): void {
  for (const [names, size] of Object.entries(table)) {
    const ratio =
      typeof size === 'string' ? ([Number(size.split('/')[0]), Number(size.split('/')[1] ?? 1)] as const) : size
    for (const name of names.split(' ')) units.set(name, { dimension, size: ratio })
  }
}

define('length', {
  'nm nanometer nanometre': '1/1000000000',
  'μm um micrometer micron': '1/1000000',
  'mm millimeter millimetre': '1/1000',
  'cm centimeter centimetre': '1/100',
  'dm decimeter decimetre': '1/10',
  'm meter metre': '1',
  'km kilometer kilometre': '1000',
  'in inch inche': '254/10000',
  'ft foot feet': '3048/10000',
  'yd yard': '9144/10000',
  'mi mile': '1609344/1000',
})
define('mass', {
  'mg milligram': '1/1000',
  'g gram gramme': '1',
  'kg kilogram kilo': '1000',
  'ton tonne': '1000000',
  'lb pound': '45359237/100000',
  'oz ounce': '45359237/1600000',
})
define('time', {
  'ms millisecond': '1/1000',
  's sec second': '1',
  'min minute': '60',
  'h hr hour': '3600',
  day: '86400',
  week: '604800',
})
define('calendar', { month: '1', 'yr year': '12', decade: '120', century: '1200' })
define('volume', {
  'ml mL milliliter millilitre': '1/1000',
  'cl centiliter': '1/100',
  'l L liter litre': '1',
  'gal gallon': '3785411784/1000000000',
  'qt quart': '946352946/1000000000',
  'pt pint': '473176473/1000000000',
  cup: '2365882365/10000000000',
})
define('money', { 'dollar USD usd buck': '1', 'cent ¢ penny pennie': '1/100', nickel: '1/20', dime: '1/10' })
define('angle', { 'degree deg °': '1', "minute' arcmin": '1/60' })
define('euro', { 'euro EUR eur': '1' })
define('sterling', { 'sterling GBP gbp quid': '1' })
define('yen', { 'yen JPY jpy': '1', 'yuan RMB CNY rmb': '1' })
define('rupee', { 'rupee INR Rs rs': '1' })
define('radian', { 'radian rad': '1' })
define('energy', {
  'J joule': '1',
  'kJ kilojoule': '1000',
  'eV electronvolt': '1602176634/10000000000000000000000000000',
  'cal calorie': '4184/1000',
  kWh: '3600000',
})
define('power', { 'W watt': '1', 'kW kilowatt': '1000' })
define('force', { 'N newton': '1', 'kN kilonewton': '1000' })
define('pressure', { 'Pa pascal': '1', 'kPa kilopascal': '1000', 'atm atmosphere': '101325' })
define('current', { 'A amp ampere': '1', 'mA milliampere': '1/1000' })
define('voltage', { 'V volt': '1', 'kV kilovolt': '1000', 'mV millivolt': '1/1000' })
define('frequency', { 'Hz hertz': '1', kHz: '1000', MHz: '1000000' })
define('speed', { knot: '1', 'mph kph kmh': '1' })
define('amount', { 'mol mole': '1', mmol: '1/1000' })

/** The unit of that name, singular or plural, or undefined. */
export function unitNamed(name: string): Unit | undefined {
  const direct = units.get(name)
  if (direct) return direct
  const lower = name.toLowerCase().replace(/\.$/, '')
  return (
    units.get(lower.length > 2 ? lower : name) ??
    (lower.length > 2 && lower.endsWith('s') ? units.get(lower.slice(0, -1)) : undefined)
  )
}

/** Units that a bare word after a number can only mean: no single letters, which may be variables. */
export const isUnitWord = (word: string): boolean => word.length > 1 && word !== 'in' && unitNamed(word) !== undefined

/** Everyday answers that are words although every letter could be a variable. */
export const PLAIN_WORDS: ReadonlySet<string> = new Set(
  'no yes on up so none all odd even east west red one two six ten any not nor bad add cos'.split(' '),
)

export const MONTHS: readonly string[] =
  'january february march april may june july august september october november december'.split(' ')
