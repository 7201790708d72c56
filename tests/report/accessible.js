// What keeps the page from being heard or read: names, headings, heads of tables, contrast.
() => {
  const faults = [];
  const named = one => (one.getAttribute('aria-label') || one.textContent || '').trim()
    || (one.id && document.querySelector(`label[for="${one.id}"]`)?.textContent);
  const seen = one => one.checkVisibility({visibilityProperty: true});
  for (const one of document.querySelectorAll('[role=img], [role=region], button, a, input, summary'))
    if (!named(one)) faults.push(`no name: ${one.outerHTML.slice(0, 90)}`);
  for (const one of document.querySelectorAll('svg'))
    if (one.getAttribute('role') !== 'img') faults.push(`a figure that is no image`);
  for (const one of document.querySelectorAll('[role=graphics-symbol]'))
    if (!one.closest('[aria-hidden=true]') && !one.ariaLabel) faults.push('a mark without a name');
  const names = [...document.querySelectorAll('button, summary')].map(named);
  for (const one of names) if (names.indexOf(one) !== names.lastIndexOf(one)) faults.push(`two are "${one}"`);
  for (const one of document.querySelectorAll('figcaption'))
    if (one.nextElementSibling && one.previousElementSibling) faults.push('a caption amid its figure');
  let level = 0;
  for (const one of document.querySelectorAll('h1, h2, h3, h4')) {
    const own = Number(one.tagName[1]);
    if (own > level + 1) faults.push(`heading skips a level: ${one.textContent}`);
    level = own;
  }
  if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');
  for (const one of document.querySelectorAll('th')) if (!one.scope) faults.push('a head of nothing');
  for (const one of document.querySelectorAll('table')) if (!one.caption) faults.push('no caption');
  if (!document.documentElement.lang || !document.title) faults.push('no language or title');
  const channel = x => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  const light = rgb => rgb.map(channel).reduce((sum, x, k) => sum + x * [0.2126, 0.7152, 0.0722][k], 0);
  const numbers = text => text.match(/[\d.]+/g).map(Number);
  const ground = one => {
    for (; one; one = one.parentElement) {
      const [r, g, b, a] = numbers(getComputedStyle(one).backgroundColor);
      if (a === undefined || a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const texts = 'h1, h2, h3, p, th, td, a, button, figcaption, caption, summary, dt, dd, code, text';
  for (const one of document.querySelectorAll(texts)) {
    if (!seen(one) || !one.textContent.trim()) continue;
    const style = getComputedStyle(one);
    const ink = numbers(one.tagName === 'text' ? style.fill : style.color).slice(0, 3);
    const [low, high] = [light(ink), light(ground(one))].sort((a, b) => a - b);
    const contrast = (high + 0.05) / (low + 0.05);
    if (contrast < 4.5) faults.push(`contrast ${contrast.toFixed(2)}: ${one.textContent.slice(0, 60)}`);
  }
  return [...new Set(faults)];
}
