"""Words that say little about a text: a short list for each of some languages."""

from collections import Counter
from collections.abc import Iterable

LANGUAGES = {
    "de": "aber als am an auch auf aus bei bin bis bist da damit dann das dass dem den der des die "
    "dies diese dieser dieses doch du ein eine einem einen einer eines er es für hat hatte ich ihr "
    "im in ist ja kann kein keine man mehr mit nach nicht noch nur oder ohne sein seine sich sie "
    "sind so über um und uns unter vom von vor war was wenn werden wie wir wird zu zum zur",
    "en": "a about after all also an and any are as at be because been before but by can could did "
    "do does for from had has have he her his how i if in into is it its just may me more most my "
    "no not of on or our out over she should so some such than that the their them then there "
    "these they this those to too up us very was we were what when where which while who why will "
    "with would you your",
    "es": "a al algo ante como con cuando de del desde donde el ella en entre era es esa ese eso "
    "esta este esto fue ha hasta hay la las le les lo los más me mi muy no nos o para pero por "
    "porque que se ser si sin sobre son su sus también te tiene un una uno y ya yo",
    "fr": "à au aux avec ce ces cette comme d'un d'une dans de des du elle en est et été être eux "
    "il ils j'ai je la le les leur lui ma mais me même mes moi mon ne nos notre nous on ont ou où "
    "par pas plus pour qu'il que qui sa sans se ses si son sont sur ta te tes toi ton tu un une "
    "vos votre vous y",
    "it": "a ad al alla anche che chi ci come con da dal dalla degli dei del della delle di e è "
    "era essere fra gli ha hanno ho i il in io la le lei lo loro lui ma mi nel nella noi non o "
    "ogni per perché più quando questa questo se si sono su sua sul suo tra tu un una uno",
    "nl": "aan als bij dan dat de der deze die dit door een en er haar had heb heeft het hij hoe "
    "hun ik in is je kan maar me meer met mijn naar niet nog nu of om onder ons ook op over te tot "
    "uit van veel voor was wat we wel werd wij worden zal ze zich zij zijn zo zou",
    "pt": "a ao aos as até com como da das de dela dele do dos e é ela ele em entre era essa esse "
    "esta este eu foi há isso já lhe mais mas me mesmo muito na nas não no nos o os ou para pela "
    "pelo por qual quando que se sem ser seu seus só sua suas também te tem um uma",
}
LISTS = {language: frozenset(words.split()) for language, words in LANGUAGES.items()}
PARTICLES = frozenset("的了是在和也就都而及与着或のはがをにでともへやなてたしるす")
"""Characters of Chinese and Japanese that begin and end no keyword."""


def stop_words(words: Iterable[str]) -> frozenset[str]:
    """The list of the language to which most of a text's stop words belong; none if it has none."""
    counts = Counter(word.casefold() for word in words)
    hits = {
        language: sum(counts[word] for word in stops if word in counts)
        for language, stops in LISTS.items()
    }
    best = max(hits, key=lambda language: hits[language])
    return LISTS[best] if hits[best] else frozenset()
