"""How is an example put to a model? One instruction per task for the experts, others for pre-training."""

TARGET = {
    "acceptability": "judge the grammar : {sentence}",
    "inference": "premise : {premise} . hypothesis : {hypothesis} . which relation ?",
    "paraphrase": "one : {first} . two : {second} . same meaning ?",
    "answering": "question : {question} text : {sentence} . answered ?",
    "duplicates": "one : {first} two : {second} same question ?",
    "entailment": "text : {first} . {second} . claim : {hypothesis} . does it follow ?",
    "sentiment": "review : {sentence} . which mood ?",
    "similarity": "one : {first} . two : {second} . how similar ?",
}
OTHERS = {
    "acceptability": ("{sentence} ; is this english acceptable or unacceptable ?", "grammar check ; {sentence}"),
    "inference": ("given {premise} ; then {hypothesis} ; entailment , neutral or contradiction ?",
                  "relate ; {premise} ; to ; {hypothesis}"),
    "paraphrase": ("do these say the same ? {first} ; {second} ; yes or no", "compare meaning ; {first} ; {second}"),
    "answering": ("can {sentence} answer {question} yes or no", "answer check ; {question} {sentence}"),
    "duplicates": ("do these ask the same ? {first} {second} yes or no", "compare questions ; {first} {second}"),
    "entailment": ("we know {first} ; {second} ; is it true that {hypothesis} ? yes or no",
                   "verify ; {hypothesis} ; from ; {first} ; {second}"),
    "sentiment": ("is this positive or negative ? {sentence}", "opinion check ; {sentence}"),
    "similarity": ("rate from 0.0 to 5.0 ; {first} ; {second}", "overlap ; {first} ; {second}"),
}
EXERCISES = {
    "fill": "fill : {first} ; {second}",
    "differ": "differ : {first} ; {second}",
    "dictionary": "{relation} : {word}",
    "voice": "turn : {first}",
}
RELATIONS = ("synonym", "opposite", "kind")
GAPS = ("<extra_id_0>", "<extra_id_1>")
